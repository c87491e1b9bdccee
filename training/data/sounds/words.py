"""The names of the sounds in some of the demo's languages; commas stand between names of one thing."""

from .sounds import SOUNDS

LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "ru", "ja", "zh", "ko")

_ROWS = """
piano | 🎹 | Klavier | piano | piano | pianoforte | piano | пианино, фортепиано | ピアノ | 钢琴 | 피아노
glockenspiel | | Glockenspiel | glockenspiel | glockenspiel | glockenspiel | glockenspiel | глокеншпиль, колокольчики | 鉄琴, グロッケン | 钟琴 | 글로켄슈필
music box | | Spieluhr | boîte à musique | caja de música | carillon | caixa de música | музыкальная шкатулка | オルゴール | 八音盒 | 오르골
marimba | | Marimba | marimba | marimba | marimba | marimba | маримба | マリンバ | 马林巴 | 마림바
church bell | 🔔 | Kirchenglocke | cloche d'église | campana de iglesia | campana | sino de igreja | церковный колокол | 教会の鐘, 鐘 | 教堂钟声, 钟 | 교회 종
church organ | | Kirchenorgel, Orgel | orgue | órgano | organo | órgão | орган | パイプオルガン | 管风琴 | 파이프 오르간
bass guitar | | Bassgitarre | guitare basse | bajo | basso elettrico | contrabaixo | бас-гитара | ベースギター | 贝斯 | 베이스 기타
harp | | Harfe | harpe | arpa | arpa | harpa | арфа | ハープ | 竖琴 | 하프
timpani | | Pauke | timbales | timbales | timpani | tímpanos | литавры | ティンパニ | 定音鼓 | 팀파니
strings | | Streicher | cordes | cuerdas | archi | cordas | струнный оркестр | ストリングス | 弦乐 | 현악
choir | | Chor | chœur | coro | coro | coral | хор | 合唱 | 合唱团 | 합창단
trumpet | 🎺 | Trompete | trompette | trompeta | tromba | trompete | труба | トランペット | 小号 | 트럼펫
trombone | | Posaune | trombone | trombón | trombone | trombone | тромбон | トロンボーン | 长号 | 트롬본
tuba | | Tuba | tuba | tuba | tuba | tuba | туба | チューバ | 大号 | 튜바
saxophone | 🎷 | Saxophon | saxophone | saxofón | sassofono | saxofone | саксофон | サックス | 萨克斯 | 색소폰
flute | 🪈 | Flöte, Querflöte | flûte | flauta | flauto | flauta | флейта | フルート, 笛 | 长笛, 笛子 | 플루트
banjo | 🪕 | Banjo | banjo | banjo | banjo | banjo | банджо | バンジョー | 班卓琴 | 밴조
bagpipe | | Dudelsack | cornemuse | gaita escocesa | cornamusa | gaita de foles | волынка | バグパイプ | 风笛 | 백파이프
kalimba | | Kalimba | kalimba | kalimba | kalimba | kalimba | калимба | カリンバ | 卡林巴琴, 拇指琴 | 칼림바
taiko drum | | Taiko | taïko | taiko | taiko | taiko | тайко | 太鼓, 和太鼓 | 太鼓 | 다이코, 일본 북
guitar | | Gitarre | guitare | guitarra | chitarra | violão | гитара | ギター | 吉他 | 기타
violin | 🎻 | Geige, Violine | violon | violín | violino | violino | скрипка | バイオリン | 小提琴 | 바이올린
telephone | 📞, ☎ | Telefon | téléphone | teléfono | telefono | telefone | телефон | 電話 | 电话 | 전화
helicopter | 🚁 | Hubschrauber | hélicoptère | helicóptero | elicottero | helicóptero | вертолёт | ヘリコプター | 直升机 | 헬리콥터
gunshot | | Schuss | coup de feu | disparo | sparo | tiro | выстрел | 銃声 | 枪声 | 총소리
sea waves | 🌊 | Meeresrauschen, Wellen | vagues | olas del mar | onde del mare | ondas do mar | шум моря, волны | 波, 海の波 | 海浪 | 파도
applause | 👏 | Applaus | applaudissements | aplausos | applauso | aplausos | аплодисменты | 拍手 | 掌声 | 박수
bird song | 🐦 | Vogelgezwitscher | chant d'oiseau | canto de pájaro | canto di uccelli | canto de pássaro | пение птиц | 鳥のさえずり, 鳥 | 鸟鸣, 鸟叫 | 새소리
snare drum | 🥁 | kleine Trommel | caisse claire | caja | rullante | caixa clara | малый барабан | スネアドラム, 小太鼓 | 小军鼓 | 작은북
hand clap | | Klatschen | claquement de mains | palmada | battito di mani | palma | хлопок | 手拍子 | 拍手 | 손뼉
crash cymbal | | Becken | cymbale | platillo | piatto | prato | тарелка | シンバル | 镲, 吊镲 | 심벌즈
tambourine | | Tamburin | tambourin | pandereta | tamburello | pandeireta | бубен | タンバリン | 铃鼓 | 탬버린
bongo | | Bongo | bongo | bongó | bongo | bongô | бонго | ボンゴ | 邦戈鼓 | 봉고
conga | 🪘 | Conga | conga | conga | conga | conga | конга | コンガ | 康加鼓 | 콩가
claves | | Claves, Klanghölzer | claves | claves | claves | claves | клавес | クラベス | 响棒 | 클라베스
wood block | | Holzblock | wood-block | caja china | blocco di legno | bloco de madeira | деревянная коробочка | ウッドブロック | 木鱼 | 우드블록
guiro | | Güiro, Ratschgurke | güiro | güiro | güiro | reco-reco | гуиро | ギロ | 刮瓜 | 귀로
whistle | | Trillerpfeife, Pfeife | sifflet | silbato | fischietto | apito | свисток | ホイッスル | 哨子 | 호루라기
dog bark | 🐕, 🐶 | Hundegebell, Hund | aboiement, chien | ladrido, perro | cane che abbaia, cane | latido, cachorro | лай собаки, собака | 犬の鳴き声, 犬 | 狗叫, 狗 | 개 짖는 소리, 개
horse gallop | 🐎 | Pferdegalopp, Pferd | galop de cheval | galope de caballo | galoppo di cavallo | galope de cavalo | галоп лошади, лошадь | 馬の足音, 馬 | 马蹄声, 马 | 말발굽 소리
laughter | 😂 | Gelächter | rires | risas | risate | risos | смех | 笑い声 | 笑声 | 웃음소리
heartbeat | 💓 | Herzschlag | battement de cœur | latido del corazón | battito del cuore | batimento cardíaco | сердцебиение | 心臓の鼓動 | 心跳 | 심장 박동
screeching tyres | | quietschende Reifen | pneus qui crissent | frenazo | frenata | freada | визг шин | 急ブレーキ | 刹车声 | 급정거
car crash | | Autounfall | accident de voiture | choque de coches | incidente d'auto | batida de carro | автокатастрофа | 車の衝突 | 车祸 | 자동차 충돌
laser gun | | Laserpistole | pistolet laser | pistola láser | pistola laser | pistola laser | лазер, бластер | レーザー銃 | 激光枪 | 레이저 총
bubbles | 🫧 | Blubbern, Blasen | bulles | burbujas | bolle | bolhas | пузыри | 泡 | 气泡 | 거품
rain | 🌧️ | Regen | pluie | lluvia | pioggia | chuva | дождь | 雨 | 雨 | 비
thunder | ⛈️ | Donner | tonnerre | trueno | tuono | trovão | гром | 雷 | 雷声 | 천둥
siren | 🚨 | Sirene | sirène | sirena | sirena | sirene | сирена | サイレン | 警笛 | 사이렌
train | 🚂 | Zug | train | tren | treno | trem | поезд | 電車 | 火车 | 기차
"""  # noqa: E501


def _table() -> dict[str, tuple[list[str], ...]]:
    rows = [[cell.strip() for cell in line.split("|")] for line in _ROWS.strip().splitlines()]
    return {name: tuple([word for word in cell.split(", ") if word] for cell in cells) for name, *cells in rows}


_TABLE = _table()
NAMES = {
    language: [[sound.name] if language == "en" else _TABLE[sound.name][n] for sound in SOUNDS]
    for n, language in enumerate(LANGUAGES)
}
"""Language → the names of each of SOUNDS."""

EMOJI = {n: _TABLE[sound.name][0] for n, sound in enumerate(SOUNDS) if _TABLE[sound.name][0]}
"""Number of a sound → its emoji, if it has any."""

UNCOUNTED = {
    "applause", "bird song", "bubbles", "claves", "laughter", "rain", "screeching tyres", "sea waves", "strings",
    "thunder", "timpani",
}  # fmt: skip
"""English names without an article."""
