"""Streamlit page of a label review; Streamlit reruns this script after every key."""

from __future__ import annotations

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
"""Keys that select a photo, in the order of the photos."""

PHOTOS_PER_ROW = 7

KEYS_HELP = """
| key | does |
| --- | --- |
| `Y` | yes, the labels as they stand are right; next |
| `W` | wrong, for a second look; next |
| `U` | unsure, for a second look; next |
| `M` | take the labels that the models predict |
| `1` to `9` | the new label on the button with this digit |
| `X` | leave these photos out of training, or include them again |
| `A S D F G H J` | select a photo, or deselect it: labels then apply to it alone |
| `Q` | the whole person again |
| `N`, `P` | next, previous |
| `L` | look up a person by name |
| `Z` | undo the last decision |
| `E` | write the corrections |
| `K` | these keys |

Every key is saved at once. Streamlit reserves `R` and `C`. While the cursor is in a field, keys are text; `Esc` leaves
it.
"""


def main() -> None:
    """Shows the review as a page of its own."""
    st.set_page_config(page_title="maskfit review", layout="wide")
    st.html(html.HIDE_HEADER_STYLE)
    controller = get_controller()
    if not check_access_token(controller.access_token):
        st.html(html.style() + html.note(WRONG_TOKEN_MESSAGE))
        st.stop()
    render()


def render() -> None:
    """Shows the current person; the caller has checked the access token."""
    st.html(html.style())
    controller = get_controller()
    # One plain object per session: callbacks of keys must not call Streamlit, see `view_model`.
    if "view_model" not in st.session_state:
        st.session_state.view_model = ReviewViewModel(controller)
    view_model: ReviewViewModel = st.session_state.view_model
    controller.record_view(view_model.person)
    _show_header(view_model)
    _show_photos(view_model)
    _show_verdict_buttons(view_model)
    _show_label_buttons(view_model)
    _show_footer(view_model)
    view_model.mark_displayed()


def _show_header(view_model: ReviewViewModel) -> None:
    """Shows the person, the progress, the filters and the label issues."""
    controller = view_model.controller
    left, right = st.columns(2, vertical_alignment="center")
    counts = controller.filter_counts()
    persons = controller.filtered_persons(view_model.filter)
    if view_model.person in persons:
        position = f"{persons.index(view_model.person) + 1:,} of {len(persons):,}"
    else:
        position = f"not among the {len(persons):,}"
    position = f"{position} · {FILTER_TEXT[view_model.filter]}"
    left.html(html.heading(controller.review, view_model.person, position))
    right.html(html.progress(controller.review.status_counts()))
    # Buttons instead of a drop-down list, which would keep the keyboard focus.
    with st.container(horizontal=True, gap="xsmall", key="filters"):
        for name in FILTERS:
            st.button(
                f"{FILTER_TEXT[name]} {counts[name]}",
                key=f"filter-{name}",
                on_click=view_model.set_filter,
                args=(name,),
                type="primary" if name == view_model.filter else "tertiary",
            )
        if st.button("look up", key="jump", shortcut="L", type="tertiary"):
            _show_person_search(view_model)
    issues = controller.issues_by_person.get(view_model.person, ())
    st.html(html.issue_reasons(controller.review, view_model.person, issues))


def _show_photos(view_model: ReviewViewModel) -> None:
    """Shows every photo of the person with its labels and predictions."""
    controller = view_model.controller
    person_index = controller.person_index[view_model.person]
    photos = controller.review.photos_by_person[view_model.person]
    issues = controller.issues_by_person.get(view_model.person, ())
    for start in range(0, len(photos), PHOTOS_PER_ROW):
        columns = st.columns(PHOTOS_PER_ROW, gap="xsmall")
        for number, photo in enumerate(photos[start : start + PHOTOS_PER_ROW], start=start):
            selected = photo.name == view_model.photo
            marks = "-chosen" * selected + "-excluded" * controller.review.is_excluded(photo)
            with columns[number - start].container(key=f"photo-{person_index}-{number}{marks}"):
                try:
                    st.image(controller.photo_jpeg(photo), width="stretch")
                except PhotoError as error:
                    st.html(html.unreadable_placeholder(error.message))
                st.button(
                    html.escape_markdown(html.short_name(photo)),
                    key=f"choose-{number}@{person_index}",
                    on_click=view_model.select_photo,
                    args=(photo,),
                    shortcut=PHOTO_KEYS[number] if number < len(PHOTO_KEYS) else None,
                    width="stretch",
                    type="primary" if selected else "secondary",
                )
                predictions = controller.predictions.get(photo.name, {})
                st.html(html.card(controller.review, photo, predictions, issues))


def _show_verdict_buttons(view_model: ReviewViewModel) -> None:
    """Shows the buttons for verdicts and navigation."""
    controller = view_model.controller
    # The person is part of every button's key: a click on an outdated page must not decide about another person.
    person_index = controller.person_index[view_model.person]
    suggestion = controller.suggested_action(view_model.person)
    num_actions = len(controller.review.actions)
    with st.container(horizontal=True):
        for label, key, verdict in (("right", "Y", "right"), ("wrong", "W", "wrong"), ("unsure", "U", "unsure")):
            current = controller.review.verdict(view_model.person, view_model.photo) == verdict
            st.button(
                label,
                key=f"{verdict}@{person_index}",
                shortcut=key,
                on_click=view_model.mark,
                args=(verdict, view_model.person),
                type="primary" if current else "secondary",
            )
        st.button(
            html.escape_markdown(_suggestion_text(suggestion)),
            key=f"suggestion@{person_index}",
            shortcut="M",
            on_click=view_model.accept_prediction,
            args=(view_model.person,),
            disabled=suggestion is None,
        )
        st.space("stretch")
        st.button("previous", key=f"previous@{person_index}", shortcut="P", on_click=view_model.advance, args=(-1,))
        st.button("next", key=f"next@{person_index}", shortcut="N", on_click=view_model.advance, args=(1,))
        st.button(
            "undo",
            key=f"undo@{person_index}",
            shortcut="Z",
            on_click=view_model.undo,
            args=(num_actions,),
            disabled=not num_actions,
        )
        st.button(
            "write corrections",
            key=f"export@{person_index}",
            shortcut="E",
            on_click=view_model.export,
            args=(False,),
        )
        if st.button("keys", key=f"keys@{person_index}", shortcut="K"):
            _show_keys_help()
    if view_model.message:
        st.html(html.note(view_model.message))


def _show_label_buttons(view_model: ReviewViewModel) -> None:
    """Shows a button for each label value, the first nine with digits as shortcuts."""
    controller = view_model.controller
    person_index, photos = controller.person_index[view_model.person], view_model.selected_photos
    scope = f"{html.short_name(photos[0])} alone" if view_model.photo else "all photos of the person"
    digits = iter("123456789")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.html(html.scope(f"new label for {scope}"), width="content")
        if view_model.photo:
            st.button(
                "whole person",
                key=f"whole@{person_index}",
                shortcut="Q",
                on_click=view_model.select_photo,
                args=(None,),
            )
        for attribute in controller.review.schema.attributes:
            scored = attribute.scored_attribute()
            # An attribute that differs from photo to photo is rarely equal on all seven: it needs a selected photo.
            enabled = len(photos) == 1 or attribute.name in controller.review.person_level_attributes
            for index, value in enumerate(scored.values):
                current = all(
                    scored_index(attribute, controller.review.labels(photo).get(attribute.name)) == index
                    for photo in photos
                )
                st.button(
                    html.escape_markdown(scored.display_name(index)),
                    key=f"{attribute.name}-{index}@{person_index}",
                    shortcut=next(digits, None),
                    on_click=view_model.relabel,
                    args=(attribute.name, value, view_model.person),
                    disabled=not enabled,
                    type="primary" if current and enabled else "secondary",
                )
            if attribute.bin_edges and enabled:
                _show_number_field(view_model, attribute)
        excluded = all(controller.review.is_excluded(photo) for photo in photos)
        st.button(
            "leave out",
            key=f"use@{person_index}",
            shortcut="X",
            on_click=view_model.relabel,
            args=(USE_ATTRIBUTE, INCLUDE if excluded else EXCLUDE, view_model.person),
            type="primary" if excluded else "secondary",
        )


def _show_number_field(view_model: ReviewViewModel, attribute: Attribute) -> None:
    """Shows a field for the number of a binned attribute, as the age in years."""
    controller, (low, high) = view_model.controller, attribute.valid_range or (None, None)
    # The key changes with every action, so that the field releases the keyboard focus.
    person_index, num_actions = controller.person_index[view_model.person], len(controller.review.actions)
    key = f"number-{attribute.name}@{person_index}-{num_actions}"
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
        on_change=_relabel_number,
        args=(view_model, attribute.name, view_model.person, key),
    )


def _show_footer(view_model: ReviewViewModel) -> None:
    """Shows the confirmation of the export, the legend and the warnings."""
    controller = view_model.controller
    if view_model.confirm_overwrite:
        text = f"{controller.corrections_path} exists, and this review did not write it."
        st.html(html.note(text, "conflict"))
        with st.container(horizontal=True):
            st.button("replace it", key="replace", on_click=view_model.export, args=(True,), type="primary")
            st.button("leave it", key="leave", on_click=view_model.cancel_export)
    if controller.predictions:
        st.html(html.legend())
    for warning in controller.warnings:
        st.html(html.note(warning))


@st.dialog("Go to a person")
def _show_person_search(view_model: ReviewViewModel) -> None:
    # In a dialog, since a search field keeps the keyboard focus for as long as it is on the page.
    persons = view_model.controller.persons
    person = st.selectbox("person", persons, index=None, placeholder="type a part of the name", key="looked-up")
    if person is not None:
        view_model.select_person(person)
        st.rerun()


@st.dialog("Keys")
def _show_keys_help() -> None:
    st.markdown(KEYS_HELP)


def _suggestion_text(suggestion: ReviewAction | None) -> str:
    """Returns the label of the button that applies the predicted labels."""
    if suggestion is None:
        return "as predicted"
    labels = (attribute if photo else f"{attribute} {value}" for photo, attribute, value in suggestion.labels)
    return f"as predicted: {', '.join(dict.fromkeys(labels))}"


def _relabel_number(view_model: ReviewViewModel, attribute: str, person: str, key: str) -> None:
    value = st.session_state[key]
    if value is not None:
        view_model.relabel(attribute, f"{value:g}", person)


if __name__ == "__main__":
    main()
