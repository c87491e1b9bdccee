"""How the demo checkpoint was made: data, the text encoder, and flow-matching training of Next-DiT.

One command a stage: `python -m lumina_next.training.data.emoji.prepare`, then `…training.tasks.text_encoder` and
`…training.tasks.image`.
`…views` renders the data of the multi-view model with trimesh and embreex, and downloads nothing.
"""
