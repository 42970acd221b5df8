"""The model zoo: one file a model. `nets/` has what they are built of, `looks/` what is drawn of them,
`words/` what they say to learners, `recipes/` how they are trained.
"""
