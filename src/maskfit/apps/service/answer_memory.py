"""Answers for photos that come again: retries, clients that ask twice, load tests.

A photo is recognized by a hash of its file. The hash is keyed with random bytes of the process, so that nobody can look
up a photo in a memory dump by its published hash. Neither files nor pixels are kept.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from threading import Lock

from maskfit.inference.face_prediction import PhotoPrediction

Key = bytes
"""Hash of a file and of what was asked about it."""


class AnswerMemory:
    """The latest answers of one service, whose models and settings do not change; thread-safe.

    Args:
        max_faces: Faces of all answers that are kept, 0 or more; a photo without one counts as a face. With 0 nothing
            is kept.
    """

    def __init__(self, max_faces: int) -> None:
        self.max_faces = max_faces
        self._secret = secrets.token_bytes(32)
        self._answers: OrderedDict[Key, PhotoPrediction] = OrderedDict()
        self._num_faces = 0
        self._lock = Lock()

    def key(self, content: bytes, detect_faces: bool) -> Key:
        """Returns what a question is recognized by.

        Args:
            content: The file's bytes.
            detect_faces: Whether each face is predicted, or the whole photo.

        Returns:
            The key; empty where nothing is kept.
        """
        if not self.max_faces:
            return b""
        person = b"faces" if detect_faces else b"whole"
        return hashlib.blake2b(content, digest_size=32, key=self._secret, person=person).digest()

    def get(self, key: Key) -> PhotoPrediction | None:
        """Looks an answer up.

        Args:
            key: Result of `key`.

        Returns:
            The answer; None where it is not known, or no more.
        """
        with self._lock:
            answer = self._answers.get(key)
            if answer is not None:
                self._answers.move_to_end(key)
            return answer

    def put(self, key: Key, answer: PhotoPrediction) -> None:
        """Keeps an answer, and forgets those that were not asked for the longest where there are too many.

        Args:
            key: Result of `key`.
            answer: The answer.
        """
        if not self.max_faces:
            return
        with self._lock:
            if key in self._answers:
                return
            self._answers[key] = answer
            self._num_faces += _count(answer)
            while self._num_faces > self.max_faces:
                _, forgotten = self._answers.popitem(last=False)
                self._num_faces -= _count(forgotten)


def _count(answer: PhotoPrediction) -> int:
    return max(len(answer.faces), 1)
