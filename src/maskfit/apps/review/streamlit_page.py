"""The page of a review, which Streamlit runs anew at every key. All that is decided goes to the desk at once."""

from __future__ import annotations

from html import escape

import streamlit as st

from maskfit.apps.review import html
from maskfit.apps.review.controller import FILTERS, get_controller
from maskfit.apps.review.state import EXCLUDE, INCLUDE, ReviewAction, scored_index
from maskfit.apps.review.view_model import FILTER_TEXT, ReviewViewModel
from maskfit.apps.streamlit_server import WRONG_TOKEN_MESSAGE, check_access_token
from maskfit.data.label_corrections import USE_ATTRIBUTE
from maskfit.errors import PhotoError
from maskfit.labels.schema import Attribute

PHOTO_KEYS = "ASDFGHJ"
"""The keys that choose a photo, in the order of the photos."""

ROW = 7
"""Photos beside each other."""

KEYS = """
| key | does |
| --- | --- |
| `Y` | yes, the labels as they stand are right; next |
| `W` | wrong, for a second look; next |
| `U` | unsure, for a second look; next |
| `M` | take the labels that the models propose |
| `1` to `9` | the new label on the button with this digit |
| `X` | leave these photos out of training, or take them in again |
| `A S D F G H J` | choose a photo, or let it go: what follows is about it alone |
| `Q` | the whole person again |
| `N`, `P` | next, previous |
| `L` | look up a person by name |
| `Z` | undo the last decision |
| `E` | write the corrections |
| `K` | these keys |

Every key is saved at once. Streamlit keeps `R` and `C` for itself. While the cursor stands in a field, keys are text;
`Esc` leaves it.
"""


def main() -> None:
    """The page by itself."""
    st.set_page_config(page_title="maskfit review", layout="wide")
    st.html(html.ALONE)
    desk = get_controller()
    if not check_access_token(desk.access_token):
        st.html(html.STYLE + html.note(WRONG_TOKEN_MESSAGE))
        st.stop()
    render()


def render() -> None:
    """Shows the person who is looked at; whoever calls this has asked for the key."""
    st.html(html.STYLE)
    desk = get_controller()
    # One plain object, made once: what keys do must not ask Streamlit for anything, see `Window`.
    if "window" not in st.session_state:
        st.session_state.window = ReviewViewModel(desk)
    window: ReviewViewModel = st.session_state.window
    desk.record_view(window.person)
    _show_head(window)
    _show_photos(window)
    _show_keys(window)
    _show_new_labels(window)
    _show_foot(window)
    window.mark_displayed()


def _show_head(window: ReviewViewModel) -> None:
    """Who, how far, among whom, and why."""
    desk = window.controller
    who, far = st.columns(2, vertical_alignment="center")
    sizes = desk.filter_counts()
    walk = desk.filtered_persons(window.filter)
    place = f"{walk.index(window.person) + 1} of {len(walk)}" if window.person in walk else f"not among the {len(walk)}"
    who.html(html.heading(desk.review, window.person, f"{place} · {FILTER_TEXT[window.filter]}"))
    far.html(html.progress(desk.review.status_counts()))
    # Buttons and no list to drop down, which would keep the keyboard.
    with st.container(horizontal=True, gap="xsmall", key="walk"):
        for name in FILTERS:
            st.button(
                f"{FILTER_TEXT[name]} {sizes[name]}",
                key=f"walk-{name}",
                on_click=window.set_filter,
                args=(name,),
                type="primary" if name == window.filter else "tertiary",
            )
        if st.button("look up", key="jump", shortcut="L", type="tertiary"):
            _show_look_up(window)
    st.html(html.issue_reasons(desk.review, window.person, desk.issues_by_person.get(window.person, ())))


def _show_photos(window: ReviewViewModel) -> None:
    """Every photo of the person with its labels and what models make of it."""
    desk = window.controller
    at, photos = desk.person_index[window.person], desk.review.photos_by_person[window.person]
    suspects = desk.issues_by_person.get(window.person, ())
    for start in range(0, len(photos), ROW):
        columns = st.columns(ROW, gap="xsmall")
        for place, photo in enumerate(photos[start : start + ROW], start=start):
            chosen = photo.name == window.photo
            marks = "-chosen" * chosen + "-out" * desk.review.is_excluded(photo)
            with columns[place - start].container(key=f"photo-{at}-{place}{marks}"):
                try:
                    st.image(desk.photo_jpeg(photo), width="stretch")
                except PhotoError as error:
                    st.html(html.unreadable_placeholder(error.message))
                st.button(
                    html.escape_markdown(html.short_name(photo)),
                    key=f"choose-{place}@{at}",
                    on_click=window.select_photo,
                    args=(photo,),
                    shortcut=PHOTO_KEYS[place] if place < len(PHOTO_KEYS) else None,
                    width="stretch",
                    type="primary" if chosen else "secondary",
                )
                st.html(html.card(desk.review, photo, desk.predictions.get(photo.name, {}), suspects))


def _show_keys(window: ReviewViewModel) -> None:
    """Verdicts and ways."""
    desk = window.controller
    # The place in a button's key: a press on a page that is out of date must not decide of another person.
    at = desk.person_index[window.person]
    proposal = desk.suggested_action(window.person)
    with st.container(horizontal=True):
        for label, key, verdict in (("right", "Y", "right"), ("wrong", "W", "wrong"), ("unsure", "U", "unsure")):
            given = desk.review.verdict(window.person, window.photo) == verdict
            st.button(
                label,
                key=f"{verdict}@{at}",
                shortcut=key,
                on_click=window.mark,
                args=(verdict, window.person),
                type="primary" if given else "secondary",
            )
        st.button(
            html.escape_markdown(_say(proposal)),
            key=f"proposal@{at}",
            shortcut="M",
            on_click=window.accept_prediction,
            args=(window.person,),
            disabled=proposal is None,
        )
        st.space("stretch")
        st.button("previous", key=f"previous@{at}", shortcut="P", on_click=window.advance, args=(-1,))
        st.button("next", key=f"next@{at}", shortcut="N", on_click=window.advance, args=(1,))
        seen = len(desk.review.actions)
        st.button("undo", key=f"undo@{at}", shortcut="Z", on_click=window.undo, args=(seen,), disabled=not seen)
        st.button("write corrections", key=f"write@{at}", shortcut="E", on_click=window.export, args=(False,))
        if st.button("keys", key=f"keys@{at}", shortcut="K"):
            _show_help()
    if window.message:
        st.html(html.note(window.message))


def _show_new_labels(window: ReviewViewModel) -> None:
    """A button for each value that can be given, the first nine with their digits."""
    desk = window.controller
    at, photos = desk.person_index[window.person], window.selected_photos
    about = (
        f"new label for {html.short_name(photos[0])} alone"
        if window.photo
        else "new label for all photos of the person"
    )
    digits = iter("123456789")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.html(f'<div class="mf"><b>{escape(about)}</b></div>', width="content")
        if window.photo:
            st.button("whole person", key=f"whole@{at}", shortcut="Q", on_click=window.select_photo, args=(None,))
        for attribute in desk.review.schema.attributes:
            official = attribute.scored_attribute()
            # What differs from photo to photo is hardly ever the same for all seven: choose a photo for that.
            fits = len(photos) == 1 or attribute.name in desk.review.person_level_attributes
            for code, value in enumerate(official.values):
                given = all(
                    scored_index(attribute, desk.review.labels(photo).get(attribute.name)) == code for photo in photos
                )
                st.button(
                    html.escape_markdown(official.display_name(code)),
                    key=f"{attribute.name}-{code}@{at}",
                    shortcut=next(digits, None),
                    on_click=window.relabel,
                    args=(attribute.name, value, window.person),
                    disabled=not fits,
                    type="primary" if given and fits else "secondary",
                )
            if attribute.bin_edges and fits:
                _show_number(window, attribute)
        out = all(desk.review.is_excluded(photo) for photo in photos)
        st.button(
            "leave out",
            key=f"use@{at}",
            shortcut="X",
            on_click=window.relabel,
            args=(USE_ATTRIBUTE, INCLUDE if out else EXCLUDE, window.person),
            type="primary" if out else "secondary",
        )


def _show_number(window: ReviewViewModel, attribute: Attribute) -> None:
    """A field for the number behind a band."""
    desk, (low, high) = window.controller, attribute.valid_range or (None, None)
    # The key changes with every decision, so that the field lets the keyboard go.
    key = f"number-{attribute.name}@{desk.person_index[window.person]}-{len(desk.review.actions)}"
    st.number_input(
        f"{attribute.name} as a number",
        low,
        high,
        value=None,
        step=1.0,
        format="%g",
        key=key,
        width=130,
        placeholder=html.escape_markdown(f"{attribute.name} …"),
        label_visibility="collapsed",
        on_change=_number,
        args=(window, attribute.name, window.person, key),
    )


def _show_foot(window: ReviewViewModel) -> None:
    """What there is to say of the files, and the file for whoever sits elsewhere."""
    desk = window.controller
    if window.confirm_overwrite:
        st.html(html.note(f"{desk.corrections_path} exists, and this review did not write it.", "apart"))
        with st.container(horizontal=True):
            st.button("replace it", key="replace", on_click=window.export, args=(True,), type="primary")
            st.button("leave it", key="leave", on_click=window.cancel_export)
    if desk.predictions:
        st.html(html.LEGEND)
    for remark in desk.warnings:
        st.html(html.note(remark))


@st.dialog("Go to a person")
def _show_look_up(window: ReviewViewModel) -> None:
    # In a window of its own, since a list to type into keeps the keyboard for as long as it is there.
    persons = window.controller.persons
    person = st.selectbox("person", persons, index=None, placeholder="type a part of the name", key="looked-up")
    if person is not None:
        window.select_person(person)
        st.rerun()


@st.dialog("Keys")
def _show_help() -> None:
    st.markdown(KEYS)


def _say(proposal: ReviewAction | None) -> str:
    """What the button of the models' proposal says."""
    if proposal is None:
        return "as models say"
    said = (name if photo else f"{name} {value}" for photo, name, value in proposal.labels)
    return f"as models say: {', '.join(dict.fromkeys(said))}"


def _number(window: ReviewViewModel, attribute: str, person: str, key: str) -> None:
    value = st.session_state[key]
    if value is not None:
        window.relabel(attribute, f"{value:g}", person)


if __name__ == "__main__":
    main()
