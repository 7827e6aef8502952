"""The figure of drawn and expected shares of SRV records."""

from __future__ import annotations

from labsupport.domain_names.srv import Srv
from labsupport.figures import shares
from labsupport.figures.shares import Share
from tests.labsupport.figures.readable import assert_readable

COUNTED = {
    Srv(10, 25, 6379, "busan.shop.example."): 260,
    Srv(10, 75, 6379, "seoul.shop.example."): 740,
    Srv(20, 100, 6379, "tokyo.shop.example."): 0,
}


def test_the_lowest_priority_is_expected_by_weight_and_others_not_at_all() -> None:
    assert shares.shares_of(COUNTED) == [
        Share("busan", 10, 25, 25.0, 26.0),
        Share("seoul", 10, 75, 75.0, 74.0),
        Share("tokyo", 20, 100, 0.0, 0.0),
    ]


def test_without_any_weight_nothing_is_expected() -> None:
    (share,) = shares.shares_of({Srv(0, 0, 6379, "a.example."): 3})
    assert (share.expected, share.drawn) == (0.0, 100.0)


def test_a_share_of_nothing_has_no_bar() -> None:
    ax = shares.draw(COUNTED).figure.axes[0]
    assert sorted(bar.get_height() for bar in ax.patches) == [25.0, 26.0, 74.0, 75.0]


def test_the_alt_text_tells_the_drawn_shares() -> None:
    picture = shares.draw(COUNTED, "1,000 draws")
    assert picture.alt == (
        "1,000 draws. Drawn: busan 26 percent, seoul 74 percent, tokyo 0 percent; "
        "the expected shares stand beside them."
    )
    assert_readable(picture)


def test_six_records_have_room_beside_one_another() -> None:
    assert_readable(shares.draw({Srv(10, 100, 6379, f"site-{n}.example."): 10 for n in range(6)}))
