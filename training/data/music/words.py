"""Keys, moods and phrases of captions of music, in the languages that sounds have names in."""

from ..sounds.words import LANGUAGES
from .tunes import Key

_TONICS = """
C | C | do | do | do | dó | до | ハ | C | 다
D flat | Des | ré bémol | re bemol | re bemolle | ré bemol | ре-бемоль | 変ニ | 降D | 내림라
D | D | ré | re | re | ré | ре | ニ | D | 라
E flat | Es | mi bémol | mi bemol | mi bemolle | mi bemol | ми-бемоль | 変ホ | 降E | 내림마
E | E | mi | mi | mi | mi | ми | ホ | E | 마
F | F | fa | fa | fa | fá | фа | ヘ | F | 바
F sharp | Fis | fa dièse | fa sostenido | fa diesis | fá sustenido | фа-диез | 嬰ヘ | 升F | 올림바
G | G | sol | sol | sol | sol | соль | ト | G | 사
A flat | As | la bémol | la bemol | la bemolle | lá bemol | ля-бемоль | 変イ | 降A | 내림가
A | A | la | la | la | lá | ля | イ | A | 가
B flat | B | si bémol | si bemol | si bemolle | si bemol | си-бемоль | 変ロ | 降B | 내림나
B | H | si | si | si | si | си | ロ | B | 나
C sharp | Cis | do dièse | do sostenido | do diesis | dó sustenido | до-диез | 嬰ハ | 升C | 올림다
G sharp | Gis | sol dièse | sol sostenido | sol diesis | sol sustenido | соль-диез | 嬰ト | 升G | 올림사
"""
_MINOR_ROWS = {1: 12, 8: 13}
"""Tonics that minor keys spell otherwise, C sharp and G sharp."""
_MODES = """
{} major | {}-Dur | {} majeur | {} mayor | {} maggiore | {} maior | {} мажор | {}長調 | {}大调 | {}장조
{} minor | {}-Moll | {} mineur | {} menor | {} minore | {} menor | {} минор | {}短調 | {}小调 | {}단조
"""
_MOODS = """
calm | ruhig | calme | tranquilo | calmo | calmo | спокойно | 穏やか | 平静 | 차분한
cheerful | fröhlich | joyeux | alegre | allegro | alegre | весело | 陽気 | 欢快 | 경쾌한
sad | traurig | triste | triste | triste | triste | грустно | 悲しい | 悲伤 | 슬픈
dramatic | dramatisch | dramatique | dramático | drammatico | dramático | драматично | 劇的 | 激昂 | 극적인
"""
SLOW, FAST = 80, 120
"""Tempos up to which, and from which on, a tune has a mood."""

ENGLISH = (
    "{name} music in {key}, {bpm} bpm",
    "a {name} tune in {key}, {bpm} bpm",
    "{name}, {key}, {bpm} bpm",
    "{bpm} bpm {name} melody in {key}",
)
MOODY = ("a {mood} {name} tune in {key}, {bpm} bpm", "{mood} {name} music, {key}, {bpm} bpm")
BRIEF = ("{name} music in {key}", "a {name} tune, {bpm} bpm", "{name} music")
UNSEEN = ("{key} {name} piece at {bpm} bpm", "I want a {name} playing in {key} at {bpm} bpm")
"""Such as training never has, for judging."""


def _table(text: str) -> list[dict[str, str]]:
    """Return rows, each a word a language."""
    rows = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]
    return [dict(zip(LANGUAGES, row, strict=True)) for row in rows]


_TONIC_ROWS, _MODE_ROWS, _MOOD_ROWS = _table(_TONICS), _table(_MODES), _table(_MOODS)


def key_name(key: Key, language: str = "en") -> str:
    """Return the name of a key in one of LANGUAGES."""
    row = _MINOR_ROWS.get(key.tonic, key.tonic) if key.minor else key.tonic
    return _MODE_ROWS[key.minor][language].format(_TONIC_ROWS[row][language])


def mood(key: Key, bpm: int, language: str = "en") -> str | None:
    """Return the mood of a key at a tempo in one of LANGUAGES: slow or fast, major or minor; None in between."""
    if SLOW < bpm < FAST:
        return None
    return _MOOD_ROWS[2 * key.minor + (bpm >= FAST)][language]
