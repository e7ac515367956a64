"""Plans: rules that say how the tensors of a model are initialized, by their names and shapes.

`patterns` and `expressions` are the two small languages, `axes` says what a tensor's inputs and
outputs are, `rules` reads a rule, `document` all that a plan says; `names` and `sources` give
names and shapes, `resolve` puts rules and tensors together. `plan` is what users hold; `lint`,
`table` and `toml` are what it can be turned into, `presets` the recipes that come with the package.
`draft` turns the tensors of `sources`, or of what a user's function returns (`models`), into a plan
without rules.
"""
