"""Any two models: which parameter is which, whether they are one function, and the line where they part.

A reader begins with `comparison`: `compare` there is all that the outside calls. The modules, in the order of use:

- `programs`: a model in one mode, traced by JAX and evaluated in float64; the models are `trigru.common.program.model`.
- `values`: the parameters, states and inputs with which both models are called, and how far results are apart.
- `layouts`: how a leaf of one model holds the numbers of another's.
- `matching`, `refinement`: which leaf is which, by names and shapes, and by what the programs compute of them.
- `pairs`: what ought to be the same in both: outputs, gradients, steps of training, draws.
- `departure`, `hypotheses`, `places`: where two programs part, what would mend it, and the lines of code.
- `statements`: the user's code around a line.
- `report`: the record that `compare` returns, and its text.
"""
