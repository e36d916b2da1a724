"""Any two models: which parameter is which, whether they are one function, and the line
where they part.

A reader begins with `comparison`: `compare` there is all that the outside calls. The
modules, in the order of use:

- `programs`: a model in one mode, traced by JAX and evaluated in float64; the models
are `trigru.common.program.model`.
- `values`: the parameters, states and inputs with which both models are called, and how
far results are apart.
- `layouts`: how a leaf of one model holds the numbers of another's.
- `parameters`: which parameter is which; it calls the next ones, in their order.
- `matching`, `names`: which leaf is which, by names and shapes.
- `derivatives`, `roles`, `arrangements`: if the outputs differ then, which number is
  which, by the derivatives of the outputs; and what is found, said as a layout and as
  code.
- `factors`: leaves that are the reference's times a number.
- `copies`: leaves that are tied in the reference.
- `conditions`: what has to be done to parameters so that the outputs agree.
- `pairs`: what ought to be the same in both: outputs and gradients.
- `training`, `draws`: how far parameters are apart after steps of training, and how
they are drawn.
- `accuracy`: how accurate the candidate is in its own dtypes.
- `doubts`: which parameters may be others, where the models differ.
- `departure`, `hypotheses`, `places`: where two programs part, what would mend it, and
the lines of code.
- `statements`: the user's code around a line.
- `report`: the record that `compare` returns, and its text.
"""
