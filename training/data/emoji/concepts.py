"""What the demo checkpoint knows: which emoji, in which languages, on which backgrounds."""

EMOJI = tuple(
    "🐶 🐱 🐭 🐰 🦊 🐻 🐼 🐯 🦁 🐮 🐷 🐸 🐵 🐔 🐧 🦄 🦋 🐝 🐞 🐢 🐙 🐬 🐘 🦀 "
    "🌵 🌲 🌻 🌹 🍄 🍀 🍎 🍌 🍇 🍉 🍓 🍒 🥕 🌽 🧀 🍕 🍔 🍩 🎂 ☕ "
    "🚗 🚲 🚀 ⛵ 🏠 💡 📚 🎁 ⚽ 🎸 🔑 🎈 👑 🎃 🌙 ⭐ 🌈 🔥 ❤ 😀".split()
)

LANGUAGES = tuple("en ja zh ru uk th pl fa ar ko vi mr tr de fr es hi it pt".split())

RELATED = tuple(
    "af az ba be bg bs ca cs cv cy da dsb et eu fi fil fo ga gd gl ha hr hsb hu id ig is jv kk ky lb lt "
    "lv mk mn ms mt ne nl nn no om pcm ps ro sc sd sk sl so sq sr sv sw tg tk tn ug ur uz xh yo zu".split()
)
"""Other languages in the scripts of LANGUAGES: the text encoder reads them too, for their shared words."""

COLOURS = {
    "red": (220, 50, 47),
    "yellow": (250, 214, 70),
    "green": (60, 160, 80),
    "blue": (50, 110, 210),
    "purple": (130, 70, 180),
    "pink": (245, 150, 190),
    "black": (20, 20, 20),
    "orange": (245, 140, 40),
}

BACKGROUND = {
    "en": ("{x} on a {c} background", "red yellow green blue purple pink black orange"),
    "de": ("{x} auf {c} Hintergrund", "rotem gelbem grünem blauem lila rosa schwarzem orangem"),
    "fr": ("{x} sur fond {c}", "rouge jaune vert bleu violet rose noir orange"),
    "es": ("{x} sobre fondo {c}", "rojo amarillo verde azul morado rosa negro naranja"),
    "it": ("{x} su sfondo {c}", "rosso giallo verde blu viola rosa nero arancione"),
    "pt": ("{x} em fundo {c}", "vermelho amarelo verde azul roxo rosa preto laranja"),
    "ru": ("{x} на {c} фоне", "красном жёлтом зелёном синем фиолетовом розовом чёрном оранжевом"),
    "uk": ("{x} на {c} тлі", "червоному жовтому зеленому синьому фіолетовому рожевому чорному помаранчевому"),
    "pl": ("{x} na {c} tle", "czerwonym żółtym zielonym niebieskim fioletowym różowym czarnym pomarańczowym"),
    "tr": ("{c} arka planda {x}", "kırmızı sarı yeşil mavi mor pembe siyah turuncu"),
    "vi": ("{x} trên nền {c}", "đỏ vàng xanh-lá xanh-dương tím hồng đen cam"),
    "zh": ("{c}背景上的{x}", "红色 黄色 绿色 蓝色 紫色 粉色 黑色 橙色"),
    "ja": ("{c}背景の{x}", "赤い 黄色い 緑の 青い 紫の ピンクの 黒い オレンジの"),
    "ko": ("{c} 배경의 {x}", "빨간 노란 초록색 파란 보라색 분홍색 검은 주황색"),
}
"""Language → its template and its words for COLOURS, in that order ("-" within a word stands for a space)."""

LEFT_OF = {
    "en": ("{a} left of {b}", "{b} right of {a}", "{a} to the left of {b}"),
    "de": ("{a} links von {b}",),
    "zh": ("{a}在{b}左边", "{b}左边的{a}"),
    "ja": ("{b}の左に{a}",),
    "emoji": ("{a}{b}", "{a} {b}"),
}
"""Language → captions of a picture with `a` on the left and `b` on the right."""


def background_caption(language: str, name: str, colour: int) -> str:
    """Return the caption of `name` before the background COLOURS[colour]."""
    template, words = BACKGROUND[language]
    return template.format(x=name, c=words.split()[colour].replace("-", " "))
