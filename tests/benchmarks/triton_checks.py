"""Check the fused kernels on a CPU: `interpret` by Triton's interpreter, `compile` by the compiler that it brings.

A module of its own, since Triton decides at import whether it interprets.
"""

import sys

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from lumina_next.benchmarks.on_gpu import kernels, variants
from lumina_next.benchmarks.on_gpu.networks import SMALL, random_network
from lumina_next.benchmarks.step.models import make_inputs
from lumina_next.nextdit.layers.rope import rotate

CARDS = (80, 89, 90, 120)


def interpret() -> None:
    """Compare the kernels with the operations that they replace, alone and in a whole network."""
    torch.manual_seed(0)
    batch, tokens, heads, width = 2, 5, 3, 24
    x, h = (torch.randn(batch, tokens, heads * width) for _ in range(2))
    both, rms = torch.nn.LayerNorm(heads * width, eps=1e-5), torch.nn.RMSNorm(heads * width, eps=1e-5)
    for parameter in (both.weight, both.bias, rms.weight):
        parameter.normal_()
    modulation = torch.randn(batch, 2 * heads * width)[:, ::2].contiguous()
    for tables in (1, batch):
        angles = torch.randn(tables, tokens, width // 2)
        table = torch.stack([angles.cos(), angles.sin()])
        for rows in (x, torch.cat([x, h], dim=-1)[..., : heads * width]):
            turned = kernels.norm_rotate(both, rows, table)
            true = rotate(both(x).unflatten(-1, (heads, width)).transpose(1, 2), table)
            torch.testing.assert_close(turned.unflatten(-1, (heads, width)).transpose(1, 2), true, atol=1e-5, rtol=1e-5)
    found = kernels.scaled_norm(rms, x, modulation)
    torch.testing.assert_close(found, rms(x) * (1 + modulation[:, None]), atol=1e-5, rtol=1e-5)
    found = kernels.gated_norm(rms, x, modulation, h)
    torch.testing.assert_close(found, x + modulation.tanh()[:, None] * rms(h), atol=1e-5, rtol=1e-5)

    model = random_network(SMALL, torch.device("cpu"), torch.float32)
    inputs = make_inputs(SMALL, (3, 4), [5, 2], torch.float32, torch.device("cpu"))
    other = variants.variant_of(model, variants.Variant(merged=True, kernels="own"))
    call = (inputs.x, inputs.t, inputs.text, inputs.mask)
    torch.testing.assert_close(other(*call), model(*call), atol=1e-4, rtol=1e-4)


def compile_for_cards() -> None:
    """Compile the kernels for every generation of cards, at the 2B model's widths."""
    pointer, integers = "*bf16", ("tokens", "row_stride", "batch_stride", "sin_offset", "scale_stride", "gate_stride")
    for kernel in (kernels.norm_rotate_kernel, kernels.scaled_norm_kernel, kernels.gated_norm_kernel):
        constants = {"WIDTH": 2304, "HALF": 36, "BLOCK": 4096}
        constants = {name: constants[name] for name in kernel.arg_names if name in constants}
        types = {name: "i32" if name in integers else pointer for name in kernel.arg_names}
        types |= (
            {"eps": "fp32"} | dict.fromkeys(constants, "constexpr") | ({"table": "*fp32"} if "table" in types else {})
        )
        for card in CARDS:
            source = ASTSource(kernel, signature=types, constexprs=constants)
            made = triton.compile(source, target=GPUTarget("cuda", card, 32), options={"num_warps": 8})
            assert made.asm["cubin"], (kernel, card)


if __name__ == "__main__":
    with torch.no_grad():
        {"interpret": interpret, "compile": compile_for_cards}[sys.argv[1]]()
