"""Captions of clips: what moves, how, and how fast, in the demo's languages."""

import random

from ..emoji.captions import Captions
from .moves import MOVES, STILL, speeds

SPEED_WORDS = {
    "en": ("slowly", "quickly"),
    "de": ("langsam", "schnell"),
    "fr": ("lentement", "rapidement"),
    "es": ("lentamente", "rápidamente"),
    "it": ("lentamente", "velocemente"),
    "pt": ("lentamente", "rapidamente"),
    "ru": ("медленно", "быстро"),
    "uk": ("повільно", "швидко"),
    "pl": ("powoli", "szybko"),
    "tr": ("yavaşça", "hızla"),
    "vi": ("chậm", "nhanh"),
    "zh": ("慢慢", "快速"),
    "ja": ("ゆっくり", "速く"),
    "ko": ("천천히", "빠르게"),
    "th": ("อย่างช้าๆ", "อย่างรวดเร็ว"),
    "fa": ("آهسته", "سریع"),
    "ar": ("ببطء", "بسرعة"),
    "hi": ("धीरे-धीरे", "तेज़ी से"),
    "mr": ("हळूहळू", "वेगाने"),
}
"""Language → its words for slow and fast."""

SENTENCES = {
    "en": (
        "{x} moving left {s}|{x} moving right {s}|{x} moving up {s}|{x} moving down {s}|{x} turning {s}|"
        "{x} growing {s}|{x} shrinking {s}|{x} bouncing {s}"
    ),
    "de": (
        "{x} bewegt sich {s} nach links|{x} bewegt sich {s} nach rechts|{x} bewegt sich {s} nach oben|"
        "{x} bewegt sich {s} nach unten|{x} dreht sich {s}|{x} wächst {s}|{x} schrumpft {s}|{x} hüpft {s}"
    ),
    "fr": (
        "{x} se déplace {s} vers la gauche|{x} se déplace {s} vers la droite|{x} se déplace {s} vers le haut|"
        "{x} se déplace {s} vers le bas|{x} tourne {s}|{x} grandit {s}|{x} rétrécit {s}|{x} rebondit {s}"
    ),
    "es": (
        "{x} se mueve {s} hacia la izquierda|{x} se mueve {s} hacia la derecha|{x} se mueve {s} hacia arriba|"
        "{x} se mueve {s} hacia abajo|{x} gira {s}|{x} crece {s}|{x} se encoge {s}|{x} rebota {s}"
    ),
    "it": (
        "{x} si muove {s} verso sinistra|{x} si muove {s} verso destra|{x} si muove {s} verso l'alto|"
        "{x} si muove {s} verso il basso|{x} gira {s}|{x} cresce {s}|{x} si rimpicciolisce {s}|{x} rimbalza {s}"
    ),
    "pt": (
        "{x} move-se {s} para a esquerda|{x} move-se {s} para a direita|{x} move-se {s} para cima|"
        "{x} move-se {s} para baixo|{x} gira {s}|{x} cresce {s}|{x} encolhe {s}|{x} quica {s}"
    ),
    "ru": (
        "{x} {s} движется влево|{x} {s} движется вправо|{x} {s} движется вверх|{x} {s} движется вниз|"
        "{x} {s} вращается|{x} {s} увеличивается|{x} {s} уменьшается|{x} {s} подпрыгивает"
    ),
    "uk": (
        "{x} {s} рухається вліво|{x} {s} рухається вправо|{x} {s} рухається вгору|{x} {s} рухається вниз|"
        "{x} {s} обертається|{x} {s} збільшується|{x} {s} зменшується|{x} {s} підстрибує"
    ),
    "pl": (
        "{x} {s} porusza się w lewo|{x} {s} porusza się w prawo|{x} {s} porusza się w górę|{x} {s} porusza się w dół|"
        "{x} {s} obraca się|{x} {s} rośnie|{x} {s} maleje|{x} {s} podskakuje"
    ),
    "tr": (
        "{x} {s} sola gidiyor|{x} {s} sağa gidiyor|{x} {s} yukarı gidiyor|{x} {s} aşağı gidiyor|"
        "{x} {s} dönüyor|{x} {s} büyüyor|{x} {s} küçülüyor|{x} {s} zıplıyor"
    ),
    "vi": (
        "{x} di chuyển {s} sang trái|{x} di chuyển {s} sang phải|{x} di chuyển {s} lên trên|"
        "{x} di chuyển {s} xuống dưới|{x} xoay {s}|{x} lớn lên {s}|{x} nhỏ lại {s}|{x} nảy {s}"
    ),
    "zh": "{x}{s}向左移动|{x}{s}向右移动|{x}{s}向上移动|{x}{s}向下移动|{x}{s}旋转|{x}{s}变大|{x}{s}变小|{x}{s}弹跳",
    "ja": (
        "{s}左に動く{x}|{s}右に動く{x}|{s}上に動く{x}|{s}下に動く{x}|"
        "{s}回る{x}|{s}大きくなる{x}|{s}小さくなる{x}|{s}跳ねる{x}"
    ),
    "ko": (
        "{s} 왼쪽으로 움직이는 {x}|{s} 오른쪽으로 움직이는 {x}|{s} 위로 움직이는 {x}|{s} 아래로 움직이는 {x}|"
        "{s} 도는 {x}|{s} 커지는 {x}|{s} 작아지는 {x}|{s} 튀는 {x}"
    ),
    "th": (
        "{x}เคลื่อนที่ไปทางซ้าย{s}|{x}เคลื่อนที่ไปทางขวา{s}|{x}เคลื่อนที่ขึ้น{s}|{x}เคลื่อนที่ลง{s}|"
        "{x}หมุน{s}|{x}ขยายใหญ่ขึ้น{s}|{x}หดเล็กลง{s}|{x}เด้ง{s}"
    ),
    "fa": (
        "{x} {s} به چپ می‌رود|{x} {s} به راست می‌رود|{x} {s} بالا می‌رود|{x} {s} پایین می‌رود|"
        "{x} {s} می‌چرخد|{x} {s} بزرگ می‌شود|{x} {s} کوچک می‌شود|{x} {s} می‌پرد"
    ),
    "ar": (
        "حركة {x} إلى اليسار {s}|حركة {x} إلى اليمين {s}|حركة {x} إلى الأعلى {s}|حركة {x} إلى الأسفل {s}|"
        "دوران {x} {s}|تكبير {x} {s}|تصغير {x} {s}|قفز {x} {s}"
    ),
    "hi": (
        "{x} {s} बाईं ओर जाते हुए|{x} {s} दाईं ओर जाते हुए|{x} {s} ऊपर जाते हुए|{x} {s} नीचे जाते हुए|"
        "{x} {s} घूमते हुए|{x} {s} बड़ा होते हुए|{x} {s} छोटा होते हुए|{x} {s} उछलते हुए"
    ),
    "mr": (
        "{x} {s} डावीकडे जाताना|{x} {s} उजवीकडे जाताना|{x} {s} वर जाताना|{x} {s} खाली जाताना|"
        "{x} {s} फिरताना|{x} {s} मोठे होताना|{x} {s} लहान होताना|{x} {s} उड्या मारताना"
    ),
}
"""Language → a sentence for each of MOVES, in their order."""

STILL_SHARE = 0.06
ENGLISH_SHARE = 0.4


def sentence(language: str, name: str, kind: str, speed: str = "") -> str:
    """Return the caption of `name` that moves so in a language; its name alone if it stands still."""
    if kind == STILL:
        return name
    word = {"": "", "slow": SPEED_WORDS[language][0], "fast": SPEED_WORDS[language][1]}[speed]
    return " ".join(SENTENCES[language].split("|")[MOVES.index(kind)].format(x=name, s=word).split())


class MotionCaptions:
    """Draws captions of clips from the concept table; held-out concept–language pairs never come out.

    `turns` is how often an object turns, next to each of the other ways to move.
    """

    def __init__(self, table: dict, turns: float = 1.0):
        self.names, self.weights = Captions(table), [turns if kind == "turn" else 1.0 for kind in MOVES]

    def draw(self, chance: random.Random) -> tuple[str, int, str, str]:
        """Return a caption, its concept by number, how that moves, and at which speed."""
        concept = chance.randrange(len(self.names.emoji))
        kind = STILL if chance.random() < STILL_SHARE else chance.choices(MOVES, self.weights)[0]
        speed = chance.choice(speeds(kind))
        languages = self.names.languages[concept]
        language = "en" if chance.random() < ENGLISH_SHARE else chance.choice(languages)
        return sentence(language, self.names.name(concept, language, chance), kind, speed), concept, kind, speed
