"""Structured captions: written, read back, and made from sentences."""

import pytest

from lumina_next.benchmarks.captions.agreement import agreement
from lumina_next.nextdit.captions import Event, Prompt, from_sentence, in_parts, prompt_of, read, sentence_of, write

# From the prompt of the reference code's demo, as its language model was told to answer.
BIRDS = "<running water& all>@<birds chriping& start>@<cow footsteps& mid>@<birds flying away& end>"


def test_what_is_written_is_read_back():
    events = [Event("running water"), Event("birds chriping", "start"), Event("cow footsteps", "mid")]
    events.append(Event("birds flying away", "end"))
    assert write(events) == BIRDS and read(BIRDS) == events
    assert read(f"A river. {BIRDS.replace('& ', '&').replace('@', ' and ').upper()}") == [
        Event(event.sound.upper(), event.when) for event in events
    ]
    assert read("<rain, all><wind &Middle>") == [Event("rain"), Event("wind", "mid")]
    assert read("a < b > c & d") == read("") == read("<& all>") == []
    assert read(write([Event("a <loud> bang & @ hiss")])) == [Event("a loud bang hiss")]


@pytest.mark.parametrize(
    ("sentence", "structured"),
    [
        ("A church bell after a dog bark", "<dog bark& start>@<church bell& end>"),
        ("Thunder shortly after a flash, then rain", "<flash& start>@<thunder& mid>@<rain& end>"),
        ("A dog barks, after which a bell rings", "<dog barks& start>@<bell rings& end>"),
        ("A bell rings after a while", "<bell rings after a while& all>"),
        ("", ""),
        ("Rain.", "<rain& all>"),
        ("Thunder and a gentle rain", "<thunder& all>@<gentle rain& all>"),
        ("A sewing machine hums and clicks", "<sewing machine hums and clicks& all>"),
        ("An engine rumbles loudly, then an air horn honks", "<engine rumbles loudly& start>@<air horn honks& end>"),
        (
            "A woman singing then choking followed by birds chirping",
            "<woman singing& start>@<choking& mid>@<birds chirping& end>",
        ),
        ("A dog barks before a door slams", "<dog barks& start>@<door slams& end>"),
        (
            "Wind blows in the background, a man laughs and then a bell rings",
            "<wind blows& all>@<man laughs& start>@<bell rings& end>",
        ),
        ("Constant rain followed by thunder", "<constant rain& all>@<thunder& end>"),
        ("Water drips throughout, with a gong at the end", "<water drips& all>@<gong& end>"),
        ("A bell at first, a whistle in the middle", "<bell& start>@<whistle& mid>"),
        ("A loud, metallic clank", "<loud, metallic clank& all>"),
        ("Horses neigh; finally silence", "<horses neigh& start>@<silence& end>"),
        ("then", "<then& all>"),
        ("雨の音", "<雨の音& all>"),
        ("a & b <c> @ d", "<b c d& all>"),
    ],
)
def test_sentences_tell_what_is_heard_when(sentence, structured):
    assert write(from_sentence(sentence)) == structured


def test_a_prompt_is_a_sentence_or_a_structured_caption_or_both():
    assert prompt_of("") == prompt_of("  \n") == Prompt("", "")
    assert prompt_of(" Rain falls ") == Prompt("Rain falls", "<rain falls& all>")
    assert prompt_of(BIRDS).structured == BIRDS
    assert prompt_of(BIRDS).caption == (
        "birds chriping followed by cow footsteps followed by birds flying away with running water in the background"
    )
    for text in (f"By the river\n{BIRDS}", f"{BIRDS}\nBy the river"):
        assert prompt_of(text) == Prompt("By the river", BIRDS)
    assert prompt_of("...") == Prompt("...", "")


def test_events_as_a_sentence_tell_the_same_when_they_are_read():
    for events in ([Event("rain"), Event("wind")], [Event("dog barking", "start"), Event("gong", "end")]):
        assert from_sentence(sentence_of(events)) == events or sentence_of(events) == "rain and wind"


@pytest.mark.parametrize(
    ("sound", "when", "says"), [("rain", "later", "all, start, mid or end"), (" <> ", "all", "empty")]
)
def test_events_are_checked(sound, when, says):
    with pytest.raises(ValueError, match=says):
        Event(sound, when)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("rain", []),
        ("rain and wind", []),
        ("<rain& all>@<gong& end>", []),
        ("a dog barks, then a gong", [("<dog barks& all>", 0, 1 / 2), ("<gong& all>", 1 / 2, 1)]),
        ("<gong& end>@<dog& start>", [("<dog& all>", 0, 1 / 2), ("<gong& all>", 1 / 2, 1)]),
        ("<a& mid>@<b& end>", [("<a& all>", 0, 1 / 2), ("<b& all>", 1 / 2, 1)]),
        (
            "By the sea\n<dog& start>@<cat& start>@<rain& all>@<bell& mid>@<gong& end>",
            [
                ("<dog& all>@<cat& all>@<rain& all>", 0, 1 / 3),
                ("<rain& all>@<bell& all>", 1 / 3, 2 / 3),
                ("<rain& all>@<gong& all>", 2 / 3, 1),
            ],
        ),
    ],
)
def test_what_is_heard_one_after_the_other_has_a_part_of_the_time_each(text, parts):
    found = [(part.prompt, part.stretch.begins, part.stretch.ends) for part in in_parts(text)]
    assert found == [(prompt, pytest.approx(begins), pytest.approx(ends)) for prompt, begins, ends in parts]


def test_agreement_with_a_language_model_is_counted():
    rows = [
        {"ori_cap": "A dog barks, then a gong", "caption": "<dog barking& start>@<gong& end>"},
        {"ori_cap": "Rain and a strong wind", "caption": "<rain& all>@<wind& start>"},
        {"ori_cap": "Rain", "caption": "<rain& all>"},
        {"ori_cap": "", "caption": "<rain& all>"},
    ]
    found = agreement(rows)
    assert found["sentences"] == 3 and found["as many sounds"] == 1 and found["last sound, in sentences of order"] == 1
    assert found["the same times"] == pytest.approx(2 / 3) and found["one sound, throughout"] == pytest.approx(1 / 3)
