"""The editor's own node search: what people type shows the node that does it, whatever we call it."""

import json

import pytest

FOUND = {
    "LuminaNextScaledRope": (
        "DyPE, NTK, YaRN, RoPE, high resolution, high res, 2K, 4K, extrapolation, rotary, "
        "position embedding, panorama, larger images, 高分辨率, 高解像度, 高解析度, 大图, パノラマ"
    ),
    "LuminaNextLoadModel": "nextdit, next-dit, Lumina, Load Lumina, モデル読み込み",
    "LuminaNextLoadTextEncoder": "gemma, llama, internlm, language model, LLM, テキストエンコーダ, 文本编码器",
    "LuminaNextLoadLora": "LyCORIS, Lumina LoRA",
    "LuminaNextFlowSchedule": "time shift, timesteps, noise schedule, flow schedule, 调度器, スケジューラ",
    "LuminaNextFlowSampler": "midpoint, runge kutta, solver, RK4, few steps, 中点法, ソルバー",
    "LuminaNextChannelGuidance": "classifier-free guidance, guidance scale, guidance channels",
    "LuminaNextContextDrop": "token merge, token merging, faster, speed up, 加速, 高速化",
    "LuminaNextRegionalPrompt": "area prompt, regional, attention couple, 区域, 領域指定",
    "LuminaNextGridMask": "cell mask, region mask, rows and columns, グリッド",
    "LuminaNextVisualAnagram": "illusion, optical illusion, ambigram, upside down, 错觉, だまし絵",
    "LuminaNextCameraRing": "turntable, orbit, azimuth, ターンテーブル, 转台",
    "LuminaNextMultiView": "novel view, novel views, turntable, multiview, multi view, 多视图, 多视角, マルチビュー",
}
WORDS = [(word, node) for node, words in FOUND.items() for word in words.split(", ")]
# The editor ranks by name first and by how often a node is used, and looks at aliases only to find a node at all. These
# words are what several much used stock nodes are called, so ours can only be somewhere below.
STOCK_FIRST = {
    "sigmas": "LuminaNextFlowSchedule",
    "scheduler": "LuminaNextFlowSchedule",
    "cfg": "LuminaNextChannelGuidance",
}
STORE = "document.querySelector('#vue-app').__vue_app__.config.globalProperties.$pinia._s.get"


@pytest.fixture(scope="module")
def found(editor) -> dict[str, list[dict]]:
    """For each word the nodes that the editor lists, best first, once it knows how often each is used."""
    words = json.dumps([word for word, _ in WORDS] + list(STOCK_FIRST))
    editor.wait_for(f"{STORE}('nodeFrequency').isLoaded && !!{STORE}('nodeDef').nodeSearchService")
    return editor.evaluate(f"""(() => {{
      const {{ nodeSearchService }} = {STORE}('nodeDef');
      const nodes = word => nodeSearchService.searchNode(word, [], {{ limit: 64 }});
      const told = node => ({{ name: node.name, title: node.display_name }});
      return Object.fromEntries({words}.map(word => [word, nodes(word).map(told)]));
    }})()""")


@pytest.mark.parametrize("word, node", WORDS, ids=[word for word, _ in WORDS])
def test_the_right_node_is_among_the_first_three(found, word, node):
    names = [entry["name"] for entry in found[word]]
    assert node in names[:3], names[:6]


@pytest.mark.parametrize("word, node", STOCK_FIRST.items())
def test_ours_is_listed_below_the_stock_nodes_that_are_called_so(found, word, node):
    names = [entry["name"] for entry in found[word]]
    called_so = [entry["name"] for entry in found[word][:3] if word in (entry["name"] + entry["title"]).lower()]
    assert node in names and len(called_so) == 3, names
