"""Recurrent PPO in one jitted function, in the style of PureJaxRL, with an agent to exchange.

`own` is an agent as somebody would write it, with a scan of `nn.GRUCell` of its own; `exchanged` is the same with
trigru's GRU in its place, and `in_equinox` the same in Equinox. `comparison` shows that they learn alike, and names the
arms that are timed. PureJaxRL: https://github.com/luchris429/purejaxrl.
"""
