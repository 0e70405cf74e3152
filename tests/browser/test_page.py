"""The page around the player: every control reaches the request, errors name their control, both languages."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from playwright.sync_api import Page

import styles
from tests.browser.test_player import decoded_frames, generate, wait_until_played

pytestmark = pytest.mark.browser


def request_of(page: Page) -> dict[str, Any]:
    return page.evaluate("wan.job.state.request")


def choose(page: Page, dropdown: str, option: str) -> None:
    page.click(f"{dropdown} input")
    page.get_by_role("option", name=option, exact=True).click()


def set_number(page: Page, control: str, value: str) -> None:
    """Type a number as a person does, and again where Gradio, which hands a section its values a moment after it has
    opened, typed over it."""
    name = control.removeprefix("#wan-").replace("-", "_")
    taken = f"wan.valueOf(wan.setup.values.find((value) => value.startsWith('{name}')))"
    for _ in range(10):
        page.fill(f"{control} input[type=number]", value)
        page.press(f"{control} input[type=number]", "Tab")
        page.wait_for_timeout(200)
        if page.evaluate(taken) == float(value):
            return
    raise AssertionError(f"{control} stays at {page.evaluate(taken)}")


def test_every_control_reaches_the_request(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    page.click("#wan-advanced > button")
    page.fill("#wan-prompt textarea", "一只(白猫:1.2) fps=40")
    page.fill("#wan-negative textarea", "模糊")
    choose(page, "#wan-style", "油画 · Oil Painting")
    page.check("#wan-size input[value='1024×576']", force=True)
    page.check("#wan-seconds input[value='2']", force=True)
    page.check("#wan-fps input[value='30']", force=True)
    set_number(page, "#wan-guidance", "6.5")
    set_number(page, "#wan-steps", "8")
    set_number(page, "#wan-denoise", "0.6")
    set_number(page, "#wan-seed", "4294967295")
    set_number(page, "#wan-batch", "2")
    assert not page.is_checked("#wan-auto input"), "moving a slider means it"
    page.click("#wan-generate")
    page.wait_for_function("wan.job.id")
    assert page.evaluate("wan.job.clips.length") == 2
    assert request_of(page) == {
        "prompt": "一只(白猫:1.2) fps=40",
        "negative_prompt": "模糊",
        "style": "Oil Painting",
        "width": 1024,
        "height": 576,
        "seconds": 2,
        "fps": 30,
        "guidance_scale": 6.5,
        "denoise_strength": 0.6,
        "seed": 4294967295,
        "num_inference_steps": 8,
        "batch_size": 1,
        "prompt_changes": [],
        "earlier_seconds": 0,
    }
    page.wait_for_function("Object.values(wan.job.states).every((state) => state.state === 'done')")
    page.click(".wan-clip:nth-child(2)")
    page.wait_for_function("wan.job.state.seed === 0 && wan.job.session.video.src.endsWith('video.mp4')")


def test_defaults_ask_for_the_models_own_values_and_show_the_seed(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    generate(page)
    asked = request_of(page)
    assert asked["guidance_scale"] is None
    assert asked["num_inference_steps"] is None
    assert f"{asked['seed']}" in page.inner_text(".wan-figures")
    page.click("#wan-advanced > button")
    page.click("#wan-seed-last")
    page.wait_for_function(f"document.querySelector('#wan-seed input')?.value === '{asked['seed']}'")
    wait_until_played(page)
    generate(page)
    assert request_of(page)["seed"] == asked["seed"]
    page.click("#wan-seed-random")
    page.wait_for_function("document.querySelector('#wan-seed input')?.value === '-1'")


def test_ctrl_enter_queues_the_prompt_as_it_stands(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    for prompt in ("第一个 fps=40", "第二个 fps=40"):
        before = page.evaluate("wan.job.id")
        page.fill("#wan-prompt textarea", prompt)
        page.press("#wan-prompt textarea", "Control+Enter")
        page.wait_for_function("before => wan.job.id && wan.job.id !== before", arg=before)
        assert request_of(page)["prompt"] == prompt
    page.wait_for_function("wan.job.state.state === 'done'")


@pytest.mark.parametrize(
    ("locale", "prompt", "sentence"),
    [
        ("zh-CN", "", "提示词：输入为 ''；允许：不能为空"),
        ("en-US", "", "Prompt: given ''; allowed: not empty"),
        ("zh-CN", "(红色:1.3的球", "提示词：第 8 个字符"),
        ("en-US", "(red:1.3 ball", "Prompt: character 10"),
    ],
)
def test_a_bad_prompt_says_so_at_its_control(
    url: str, open_page: Callable[..., Page], locale: str, prompt: str, sentence: str
) -> None:
    page = open_page(url, locale=locale)
    page.fill("#wan-prompt textarea", prompt)
    page.click("#wan-generate")
    page.wait_for_selector(".wan-error:not([hidden])")
    assert sentence in page.inner_text(".wan-error")
    page.wait_for_selector("#wan-prompt.wan-field-error")
    generate(page)
    assert page.is_hidden(".wan-error")
    assert wait_until_played(page)["state"]["state"] == "done"


@pytest.mark.parametrize(
    ("changed", "sentence", "control"),
    [
        ({"prompt": "长" * 10_000}, "提示词：输入为 '10000'", "wan-prompt"),
        ({"style": "Nobody"}, "风格：输入为 'Nobody'", "wan-style"),
        ({"seed": 2**32}, "种子：输入为 4294967296", "wan-seed"),
        ({"size": "640×480"}, "分辨率：输入为 '640×480'", "wan-size"),
        ({"seconds": "4"}, "时长（秒）：输入为 '4'", "wan-seconds"),
    ],
)
def test_what_the_controls_do_not_offer_is_refused_by_name(
    url: str, open_page: Callable[..., Page], changed: dict[str, Any], sentence: str, control: str
) -> None:
    page = open_page(url)
    values = {
        "prompt": "球 fps=40", "negative_prompt": "", "style": "", "size": "768×432", "seconds": 2, "fps": 24,
        "auto": True, "guidance_scale": 7, "denoise_strength": 0.75, "seed": 1, "steps": 4, "batch_size": 1,
        "streaming": True,
    }  # fmt: skip
    page.evaluate("values => wan.submit(...wan.setup.values.map((name) => values[name]))", {**values, **changed})
    page.wait_for_selector(".wan-error:not([hidden])")
    assert sentence in page.inner_text(".wan-error")
    page.wait_for_selector(f"#{control}.wan-field-error")
    generate(page)
    assert wait_until_played(page)["state"]["state"] == "done"


def test_the_language_follows_the_browser_and_the_switch(url: str, open_page: Callable[..., Page]) -> None:
    chinese, english = open_page(url, locale="zh-CN"), open_page(url, locale="en-US")
    assert chinese.inner_text("#wan-generate") == "生成"
    assert english.inner_text("#wan-generate") == "Generate"
    assert "没有 NVIDIA GPU" in chinese.inner_text(".wan-chips")
    assert "no NVIDIA GPU" in english.inner_text(".wan-chips")
    chinese.fill("#wan-prompt textarea", "不要丢")
    chinese.click(".wan-language")
    chinese.wait_for_function("document.querySelector('#wan-generate').innerText === 'Generate'")
    assert "Resolution" in chinese.inner_text("#wan-size")
    assert chinese.title() == english.title()
    assert chinese.input_value("#wan-prompt textarea") == "不要丢"
    chinese.reload()
    chinese.wait_for_function("document.querySelector('#wan-generate')?.innerText === 'Generate'")
    assert chinese.input_value("#wan-prompt textarea") == "不要丢"


def test_a_person_who_waits_sees_the_place_in_the_queue(url: str, open_page: Callable[..., Page]) -> None:
    first, second = open_page(url), open_page(url)
    generate(first, "球 fps=12", seconds=4)
    generate(second)
    second.wait_for_function("document.querySelector('.wan-state').innerText.includes('前面还有 1 个')")
    second.wait_for_function("document.querySelector('.wan-chips').innerText.endsWith('1')")
    first.click("#wan-cancel")
    wait_until_played(second)


def test_presets_load_save_and_come_back(url: str, open_page: Callable[..., Page], tmp_path: Path) -> None:
    page = open_page(url)
    choose(page, "#wan-preset", "wan2.2_文生视频")
    page.wait_for_function("document.querySelector('#wan-size .selected').innerText === '1280×720'")
    assert page.is_checked("#wan-seconds input[value='6']")
    page.fill("#wan-prompt textarea", "我的预设")
    page.check("#wan-fps input[value='30']", force=True)
    with page.expect_download() as download:
        page.click("#wan-preset-save")
    saved = tmp_path / "mine.json"
    saved.write_bytes(download.value.path().read_bytes())
    assert json.loads(saved.read_text(encoding="utf-8"))["fps"] == 30
    choose(page, "#wan-preset", "wan2.2_文生视频_轻量")
    page.fill("#wan-prompt textarea", "另一个")
    load_file(page, saved)
    page.wait_for_function("document.querySelector('#wan-prompt textarea').value === '我的预设'")
    assert page.is_checked("#wan-fps input[value='30']")
    assert page.is_checked("#wan-size input[value='1280×720']")
    saved.write_text('{"fps": 25}', encoding="utf-8")
    load_file(page, saved)
    page.wait_for_selector(".wan-error:not([hidden])")
    assert "帧率：输入为 25" in page.inner_text(".wan-error")


def test_an_mp4_brings_its_settings_back(url: str, open_page: Callable[..., Page], tmp_path: Path) -> None:
    page = open_page(url)
    generate(page, "带设置的视频 fps=40")
    seed = wait_until_played(page)["state"]["seed"]
    with page.expect_download() as download:
        page.click("#wan-download")
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(download.value.path().read_bytes())
    with av.open(io.BytesIO(clip.read_bytes())) as container:
        assert container.streams.video[0].frames == 48
    page.fill("#wan-prompt textarea", "别的")
    load_file(page, clip)
    page.wait_for_function("document.querySelector('#wan-prompt textarea').value === '带设置的视频 fps=40'")
    page.click("#wan-advanced > button")
    page.wait_for_function(f"document.querySelector('#wan-seed input')?.value === '{seed}'")


def load_file(page: Page, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.click("#wan-preset-load")
    chooser.value.set_files(path)


def test_the_i_button_shows_what_will_be_sent(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    page.fill("#wan-prompt textarea", "静卧的(猎豹:1.3)")
    choose(page, "#wan-style", "水彩 · Watercolor")
    page.click("#wan-reveal")
    final = styles.apply("静卧的(猎豹:1.3)", styles.load_styles()["Watercolor"])
    page.wait_for_function("shown => document.querySelector('.wan-final').innerText.includes(shown)", arg=final.display)
    assert final.negative_display in page.inner_text(".wan-final")
    page.fill("#wan-prompt textarea", "静卧的豹")
    page.wait_for_function("document.querySelector('.wan-final').innerText.includes('静卧的豹')")
    page.click("#wan-reveal")
    assert page.is_hidden(".wan-final")


def test_an_example_is_taken_with_its_style(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    examples = styles.load_examples()
    page.click(f".wan-example[title='{examples[2].prompt_zh}']")
    page.wait_for_function(
        "text => document.querySelector('#wan-prompt textarea').value === text", arg=examples[2].prompt_zh
    )
    assert page.input_value("#wan-style input").endswith(examples[2].style)


def test_the_advised_guidance_is_warned_about(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    page.click("#wan-advanced > button")
    set_number(page, "#wan-guidance", "13")
    page.wait_for_selector("#wan-guidance[data-warning]")
    set_number(page, "#wan-guidance", "9")
    page.wait_for_selector("#wan-guidance:not([data-warning])")


def test_memory_is_drawn_twice_a_second_and_says_its_source(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    page.wait_for_function("document.querySelector('.wan-memory-text').innerText.includes('psutil')")
    before = page.evaluate("document.querySelector('.wan-memory canvas').toDataURL()")
    page.wait_for_timeout(1200)
    assert page.evaluate("document.querySelector('.wan-memory canvas').toDataURL()") != before
    assert page.is_hidden(".wan-debug")
    debug = open_page(url + "?debug=1")
    assert debug.is_visible(".wan-debug")
    assert debug.evaluate("document.querySelector('.wan-curves').clientHeight") > 100
    generate(debug)
    debug.wait_for_function("document.querySelector('.wan-log').innerText.includes('painted')")


def test_a_phone_needs_no_sideways_scrolling(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url, width=375, height=812)
    page.click("#wan-advanced > button")
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    beyond = page.evaluate(
        """() => [...document.querySelectorAll("#wan-main button, #wan-main input, #wan-main textarea, .wan-chip")]
            .filter((node) => !node.closest(".wan-strip, .wan-cards")) // these scroll by themselves
            .filter((node) => node.offsetParent && node.getBoundingClientRect().right > 376)
            .map((node) => node.outerHTML)"""
    )
    assert beyond == []
    page.click("#wan-generate")
    page.wait_for_function("wan.job.session && wan.job.session.marks.painted")
    page.wait_for_function("document.querySelector('.wan-stage').getBoundingClientRect().top < innerHeight - 100")


def test_own_fonts_and_pictures_only(url: str, open_page: Callable[..., Page]) -> None:
    """`open_page` fails a test whose page asks another machine for anything; here also while a clip is made."""
    page = open_page(url)
    generate(page)
    assert decoded_frames(page) > 0
    wait_until_played(page)
