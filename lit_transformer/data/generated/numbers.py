"""The numbers 0 to 9,999 in words, English to German, where the units come before the tens."""

import hashlib

LIMIT = 10_000
"""The first number that is left out."""

HELD_OUT = 500
"""Numbers of the validation split, and of the test split."""

ENGLISH_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
ENGLISH_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
GERMAN_ONES = (
    "null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf", "zwölf",
    "dreizehn", "vierzehn", "fünfzehn", "sechzehn", "siebzehn", "achtzehn", "neunzehn",
)  # fmt: skip
GERMAN_TENS = ("zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig")


def english(number: int) -> str:
    """As Americans spell it, without `and`: four thousand three hundred twenty-one."""
    words = []
    if number >= 1000:
        words.append(f"{ENGLISH_ONES[number // 1000]} thousand")
    if number // 100 % 10:
        words.append(f"{ENGLISH_ONES[number // 100 % 10]} hundred")
    rest = number % 100
    if rest >= 20:
        words.append(ENGLISH_TENS[rest // 10 - 2] + (f"-{ENGLISH_ONES[rest % 10]}" if rest % 10 else ""))
    elif rest or not words:
        words.append(ENGLISH_ONES[rest])
    return " ".join(words)


def german(number: int) -> str:
    """In one word, as German spells numbers below a million: viertausenddreihunderteinundzwanzig."""
    word = ""
    if number >= 1000:
        word += f"{_joined(number // 1000)}tausend"
    if number // 100 % 10:
        word += f"{_joined(number // 100 % 10)}hundert"
    rest = number % 100
    if rest >= 20:
        return word + (f"{_joined(rest % 10)}und" if rest % 10 else "") + GERMAN_TENS[rest // 10 - 2]
    return word + GERMAN_ONES[rest] if rest or not word else word


def number_rows() -> dict[str, list[dict[str, str]]]:
    """`source` and `target` of each split: 9,000 numbers to train on, 500 to validate and 500 to test.

    Those held out are of three digits or four: every word is met in training.
    """

    def digest(number: int) -> bytes:
        return hashlib.blake2b(f"numbers/{number}".encode()).digest()

    drawn = sorted(range(100, LIMIT), key=digest)
    held = {"val": drawn[:HELD_OUT], "test": drawn[HELD_OUT : 2 * HELD_OUT]}
    train = sorted(set(range(LIMIT)).difference(*held.values()))
    return {
        split: [{"source": english(number), "target": german(number)} for number in numbers]
        for split, numbers in {"train": train, **held}.items()
    }


def _joined(digit: int) -> str:
    """A digit inside a word, where one is `ein`."""
    return "ein" if digit == 1 else GERMAN_ONES[digit]
