"""Any two models: which parameter is which, whether they are one function, and the line where they part.

A reader begins with `comparison`: `compare` there is all that the outside calls. The modules, in the order of use:

- `programs`: a model in one mode, traced by JAX and evaluated in float64; the models are `trigru.common.program.model`.
- `values`: the parameters, states and inputs with which both models are called, and how far results are apart.
- `layouts`: how a leaf of one model holds the numbers of another's.
- `matching`: which leaf is which, by names and shapes.
- `derivatives`, `roles`, `arrangements`: if the outputs differ then, which number is which, by the derivatives of the
  outputs; and what is found, said as a layout and as code.
- `factors`: leaves that are the reference's times a number.
- `refinement`: of models that differ, the leaves with which as much as possible agrees.
- `conditions`, `doubts`: what has to be done to parameters so that the outputs agree, and which may be others.
- `pairs`: what ought to be the same in both: outputs, gradients, steps of training, draws.
- `departure`, `hypotheses`, `places`: where two programs part, what would mend it, and the lines of code.
- `statements`: the user's code around a line.
- `report`: the record that `compare` returns, and its text.
"""
