from fedlab.data.formats.plays import speeches

PLAY = """THE PLAY

by Somebody

PERSONS REPRESENTED.

Hamlet, a prince.

ACT I.

Scene I. A platform.

[Enter HAMLET and
a Ghost.]

Ham.
Who's there? [Aside.] Hm.
Speak!

GHOST
I am thy father's spirit.

[Exit.]

Ham.
Alas.

ACT II.

Nobody says this.

Ham.
The rest is silence.
"""


def test_a_role_has_all_its_words_but_no_stage_directions():
    roles = speeches(PLAY)
    assert set(roles) == {"HAM", "GHOST"}
    said = "Who's there?  Hm.\nSpeak!\nAlas.\nThe rest is silence.\n"
    assert roles["HAM"] == said
    assert roles["GHOST"] == "I am thy father's spirit.\n"


def test_a_poem_has_no_roles():
    assert speeches("THE ARGUMENT.\n\nShall I compare thee\nto a summer's day?\n") == {}
    assert speeches("") == {}


def test_an_open_bracket_does_not_swallow_what_follows():
    text = "ACT I.\n\nAnn.\nOne [two\n\nBob.\nThree\n\nAnn.\n" + "word " * 400
    assert speeches(text)["ANN"].count("word") == 400
