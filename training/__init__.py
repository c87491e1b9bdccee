"""How the demo checkpoint was made: data, the text encoder, and flow-matching training of Next-DiT.

One command a stage: `python -m lumina_next.training.data.emoji.prepare`, then `…training.tasks.text_encoder` and
`…training.tasks.image`.
`…training.data.objects.views` renders the multi-view model's data with trimesh and embreex, and downloads nothing.
`…training.data.points.prepare` makes the point clouds, `…training.tasks.points` trains on them.
"""
