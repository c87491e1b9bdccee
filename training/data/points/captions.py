"""Captions of the shapes in the demo's languages."""

from random import Random

from ..objects.objects import COLOURS, FAMILIES, describe, with_article
from .shapes import LABELS

WORDS = {
    "en": ("airplane, plane", "chair", "table", "lamp", "car", "ship, boat", "mug, cup", "house"),
    "ja": ("飛行機", "椅子, いす", "テーブル, 机", "ランプ", "車, 自動車", "船", "マグカップ, カップ", "家"),
    "zh": ("飞机", "椅子", "桌子", "灯, 台灯", "汽车", "船", "杯子, 马克杯", "房子"),
    "ru": ("самолёт", "стул", "стол", "лампа", "машина, автомобиль", "корабль", "кружка, чашка", "дом"),
    "uk": ("літак", "стілець", "стіл", "лампа", "машина, автомобіль", "корабель", "кухоль, чашка", "будинок"),
    "th": ("เครื่องบิน", "เก้าอี้", "โต๊ะ", "โคมไฟ", "รถ, รถยนต์", "เรือ", "แก้วมัค, ถ้วย", "บ้าน"),
    "pl": ("samolot", "krzesło", "stół", "lampa", "samochód", "statek", "kubek", "dom"),
    "fa": ("هواپیما", "صندلی", "میز", "چراغ", "ماشین, خودرو", "کشتی", "لیوان, فنجان", "خانه"),
    "ar": ("طائرة", "كرسي", "طاولة", "مصباح", "سيارة", "سفينة", "كوب", "منزل, بيت"),
    "ko": ("비행기", "의자", "탁자, 테이블", "램프", "자동차", "배", "머그잔, 컵", "집"),
    "vi": ("máy bay", "ghế", "bàn", "đèn", "ô tô", "tàu", "cốc", "nhà"),
    "mr": ("विमान", "खुर्ची", "टेबल", "दिवा", "कार, गाडी", "जहाज", "मग, कप", "घर"),
    "tr": ("uçak", "sandalye", "masa", "lamba", "araba", "gemi", "kupa", "ev"),
    "de": ("Flugzeug", "Stuhl", "Tisch", "Lampe", "Auto", "Schiff", "Becher, Tasse", "Haus"),
    "fr": ("avion", "chaise", "table", "lampe", "voiture", "bateau", "tasse", "maison"),
    "es": ("avión", "silla", "mesa", "lámpara", "coche", "barco", "taza", "casa"),
    "hi": ("हवाई जहाज़, विमान", "कुर्सी", "मेज़", "लैंप", "कार, गाड़ी", "जहाज़", "मग, प्याला", "घर"),
    "it": ("aereo", "sedia", "tavolo", "lampada", "macchina, automobile", "nave, barca", "tazza", "casa"),
    "pt": ("avião", "cadeira", "mesa", "lâmpada", "carro", "navio, barco", "caneca", "casa"),
}
"""Language → the names of LABELS in their order; commas stand between names of one thing."""

EMOJI = ("✈️", "🪑", "", "💡", "🚗", "🚢", "☕", "🏠")


def names(label: int, language: str) -> list[str]:
    """Return the names of a label in a language."""
    return WORDS[language][label].split(", ")


def draw(label: int, chance: Random) -> str:
    """Return a random caption: a name in one of the languages, in English also with colours, as of a view; an emoji.

    Points have no colours. The words are there so that one caption serves for a picture, its views and its points.
    """
    form = chance.random()
    if form < 0.05 and EMOJI[label]:
        return EMOJI[label]
    if form < 0.45:
        return chance.choice(names(label, chance.choice(tuple(WORDS))))
    if form < 0.65:
        return with_article(chance.choice(names(label, "en")))
    family, (first, second, third) = LABELS[label], chance.sample(tuple(COLOURS), 3)
    if form < 0.85 or family not in FAMILIES:
        return with_article(f"{first} {chance.choice(names(label, 'en'))}")
    return chance.choice(describe(family, (first, second, third)))
