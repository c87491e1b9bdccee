"""What small networks of ComfyUI's own families are built from."""

import torch

FLUX = {
    "in_channels": 16,
    "out_channels": 16,
    "vec_in_dim": 12,
    "context_in_dim": 20,
    "hidden_size": 64,
    "mlp_ratio": 1.0,
    "num_heads": 2,
    "depth": 1,
    "depth_single_blocks": 1,
    "axes_dim": [8, 12, 12],
    "theta": 10000,
    "patch_size": 2,
    "qkv_bias": True,
    "guidance_embed": True,
    "txt_ids_dims": [],
}
FLUX_2 = FLUX | {
    "in_channels": 128,
    "out_channels": 128,
    "vec_in_dim": None,
    "axes_dim": [8, 8, 8, 8],
    "theta": 2000,
    "patch_size": 1,
    "txt_ids_dims": [3],
    "global_modulation": True,
    "mlp_silu_act": True,
    "qkv_bias": False,
    "ops_bias": False,
    "default_ref_method": "index",
    "ref_index_scale": 10.0,
}
CHROMA = {key: value for key, value in FLUX.items() if key not in ("guidance_embed",)}
CHROMA |= {"in_channels": 64, "out_channels": 64, "in_dim": 64, "out_dim": 64, "hidden_dim": 16, "n_layers": 1}
RADIANCE = CHROMA | {"in_channels": 3, "out_channels": 3, "patch_size": 4, "nerf_hidden_size": 8, "nerf_mlp_ratio": 1}
RADIANCE |= {"nerf_depth": 1, "nerf_max_freqs": 2, "nerf_tile_size": 100, "nerf_final_head_type": "conv"}
RADIANCE |= {"nerf_embedder_dtype": torch.float32, "use_x0": True, "use_sequential_txt_ids": True}
Z_IMAGE_PIXELS = {
    "patch_size": 4,
    "in_channels": 3,
    "dim": 256,
    "n_layers": 2,
    "n_refiner_layers": 1,
    "n_heads": 8,
    "n_kv_heads": 8,
    "axes_dims": [8, 12, 12],
    "axes_lens": [300, 512, 512],
    "rope_theta": 256.0,
    "ffn_dim_multiplier": 1.0,
    "qk_norm": True,
    "cap_feat_dim": 20,
    "z_image_modulation": True,
    "time_scale": 1000.0,
    "pad_tokens_multiple": 16,
    "decoder_hidden_size": 8,
    "decoder_num_res_blocks": 1,
    "decoder_max_freqs": 2,
    "use_x0": True,
}
QWEN = {
    "patch_size": 2,
    "in_channels": 64,
    "out_channels": 16,
    "num_layers": 2,
    "attention_head_dim": 32,
    "num_attention_heads": 2,
    "joint_attention_dim": 20,
    "axes_dims_rope": (8, 12, 12),
}
KREA = {"features": 64, "tdim": 16, "txtdim": 10, "heads": 2, "kvheads": 1, "layers": 2, "txtlayers": 2}
KREA |= {"txtheads": 2, "txtkvheads": 2, "multiplier": 1}
OMNIGEN = {
    "hidden_size": 48,
    "num_layers": 2,
    "num_refiner_layers": 1,
    "num_attention_heads": 2,
    "num_kv_heads": 1,
    "multiple_of": 16,
    "axes_dim_rope": (8, 8, 8),
    "text_feat_dim": 20,
}
HIDREAM = {
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 16,
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 32,
    "num_attention_heads": 2,
    "caption_channels": [20, 24],
    "text_emb_dim": 12,
    "num_routed_experts": 2,
    "num_activated_experts": 1,
    "axes_dims_rope": (16, 8, 8),
    "llama_layers": [0, 1],
}
ERNIE = {
    "hidden_size": 64,
    "num_attention_heads": 2,
    "num_layers": 2,
    "ffn_hidden_size": 32,
    "text_in_dim": 20,
    "rope_axes_dim": (8, 12, 12),
}
WAN = {"model_type": "t2v", "dim": 48, "ffn_dim": 32, "freq_dim": 16, "text_dim": 20, "num_heads": 2, "num_layers": 2}
KANDINSKY = {
    "model_dim": 64,
    "in_text_dim": 20,
    "in_text_dim2": 12,
    "time_dim": 16,
    "ff_dim": 32,
    "axes_dims": (8, 12, 12),
}
KANDINSKY |= {
    "num_text_blocks": 1,
    "num_visual_blocks": 2,
    "visual_embed_dim": 64,
    "rope_scale_factor": (1.0, 1.0, 1.0),
}
MAGE = {key: value for key, value in QWEN.items() if key != "patch_size"} | {"in_channels": 128, "out_channels": 128}
LENS = {
    "patch_size": 2,
    "in_channels": 128,
    "out_channels": 32,
    "num_layers": 2,
    "attention_head_dim": 32,
    "num_attention_heads": 2,
    "enc_hidden_dim": 10,
    "axes_dims_rope": (8, 12, 12),
    "selected_layer_index": (0, 1),
}
BOOGU = {key: value for key, value in OMNIGEN.items() if key != "text_feat_dim"}
BOOGU |= {"instruction_feat_dim": 20, "num_double_stream_layers": 1}
HUNYUAN = {
    "in_channels": 16,
    "out_channels": 16,
    "vec_in_dim": 12,
    "context_in_dim": 20,
    "hidden_size": 64,
    "mlp_ratio": 1.0,
    "num_heads": 2,
    "depth": 1,
    "depth_single_blocks": 1,
    "axes_dim": [8, 12, 12],
    "theta": 256,
    "patch_size": [1, 2, 2],
    "qkv_bias": True,
    "guidance_embed": True,
    "byt5": False,
    "meanflow": False,
    "use_cond_type_embedding": False,
    "vision_in_dim": None,
    "meanflow_sum": False,
}
HUNYUAN_IMAGE = HUNYUAN | {"in_channels": 64, "out_channels": 64, "vec_in_dim": None, "axes_dim": [16, 16]}
HUNYUAN_IMAGE |= {"patch_size": [1, 1], "byt5": True}
HUNYUAN_15 = HUNYUAN | {
    "in_channels": 32,
    "out_channels": 32,
    "vec_in_dim": None,
    "patch_size": [1, 1, 1],
    "byt5": True,
}
HUNYUAN_15 |= {"use_cond_type_embedding": True, "vision_in_dim": 24, "guidance_embed": False}
