/* The cards: examples and styles with their pictures, and style files of a person's own.
 *
 * Owns the loaded styles, which this browser keeps; a prompt's advice is assets/studio.js's.
 */
(() => {
  "use strict";
  const wan = window.wan;
  const { $, el, button, t, own, parts, setup } = wan;
  const MAX_FILE_BYTES = 512 * 1024;

  let shown = ""; // key of the style in the dropdown
  let chosen = ""; // key of the style that a card was pressed for
  let loaded = []; // styles of a person's own

  const named = (style) => (style.name === style.name_zh ? style.name : `${style.name_zh} · ${style.name}`);
  wan.styles = () => [...setup.styles, ...loaded];

  /* ---- cards ---- */
  function card(className, picture, hue, words) {
    const node = button(className, "", null);
    const image = el(picture ? "img" : "i", "wan-still");
    if (picture) Object.assign(image, { alt: "", loading: "lazy", decoding: "async", src: wan.url(`stills/${picture}`) });
    else image.style.setProperty("--hue", hue);
    node.append(image, el("span", "", words));
    return node;
  }
  /* One stop of the Tab key for all cards of a row; arrows go from one to the next. */
  function roving(row) {
    const to = (node) => {
      for (const one of row.children) one.tabIndex = one === node ? 0 : -1;
    };
    row.addEventListener("focusin", (event) => to(event.target));
    row.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const cards = [...row.children];
      const at = cards.indexOf(event.target);
      const next = event.key === "Home" ? 0 : event.key === "End" ? cards.length - 1 : step && (at + step + cards.length) % cards.length;
      if (next === undefined || at < 0) return;
      event.preventDefault();
      cards[next].focus();
      if (cards[next].getAttribute("role") === "radio") cards[next].click();
    });
    return to;
  }

  function drawExamples() {
    const row = $(".wan-strip", parts.gallery);
    const all = $(".wan-all", parts.gallery);
    $(".wan-hint", parts.gallery).textContent = t("examples");
    row.setAttribute("aria-label", t("examples"));
    all.textContent = t(parts.gallery.dataset.all ? "examples_fewer" : "examples_all");
    const names = setup.styles.map((style) => style.name);
    const cards = setup.examples.map((example) => {
      const words = own(example, "prompt");
      const node = card("wan-card wan-example", example.picture, 30 * names.indexOf(example.style), words);
      node.title = words;
      node.onclick = () => {
        parts.example = example;
        parts.takeExample("click");
      };
      return node;
    });
    row.replaceChildren(...cards);
    parts.toExample(cards[0]);
  }
  wan.takeExample = (...current) => {
    const { style, settings } = parts.example;
    const prompt = own(parts.example, "prompt");
    wan.remember(prompt, current);
    return wan.spread({ ...settings, prompt, style }, current);
  };

  /* ---- styles ---- */
  function drawCards() {
    if (!parts.looks) return;
    $(".wan-hint", parts.looks).textContent = t("style_cards");
    $(".wan-cards", parts.looks).setAttribute("aria-label", t("style_cards"));
    const [load, forget] = [$(".wan-load", parts.looks), $(".wan-forget", parts.looks)];
    load.textContent = t("styles_load");
    load.title = t("styles_load_tip");
    forget.textContent = t("styles_forget");
    forget.hidden = !loaded.length;
    const local = wan.language === "zh" ? "name_zh" : "name";
    const cards = wan.styles().map((style, i) => {
      const node = card("wan-card wan-look", style.picture, 30 * i, style[local]);
      node.dataset.key = style.key;
      node.setAttribute("role", "radio");
      node.title = (wan.language === "zh" && style.suits_zh) || style.suits || named(style);
      node.onclick = () => wan.choose(style.key);
      return node;
    });
    $(".wan-cards", parts.looks).replaceChildren(...cards);
    wan.markCard(shown);
  }
  wan.markCard = (style) => {
    shown = style;
    if (!parts.looks) return;
    const cards = [...$(".wan-cards", parts.looks).children];
    const one = cards.find((node) => node.dataset.key === shown);
    for (const node of cards) node.setAttribute("aria-checked", String(node === one));
    parts.toLook(one || cards[0]);
  };
  wan.choose = (key) => {
    chosen = key;
    parts.takeStyle("click");
  };
  wan.takeStyle = () => {
    const choices = [[setup.no_style, ""], ...wan.styles().map((style) => [named(style), style.key])];
    return { __type__: "update", choices, value: chosen };
  };
  function told(sentence) {
    const node = $(".wan-styles-error", parts.looks);
    node.hidden = !sentence;
    node.textContent = sentence;
  }
  async function load(name, content) {
    const { styles } = await wan.post(`styles?name=${encodeURIComponent(name)}`, content);
    const keys = styles.map((style) => style.key);
    loaded = [...loaded.filter((style) => !keys.includes(style.key)), ...styles];
    return styles;
  }
  async function loadFile(file) {
    told("");
    try {
      if (file.size > MAX_FILE_BYTES) return told(t("styles_too_large"));
      const content = await file.text();
      const styles = await load(file.name, content);
      const others = (wan.kept("localStorage", "wan-styles") || []).filter((one) => one.name !== file.name);
      wan.keep("localStorage", "wan-styles", [...others, { name: file.name, content }]);
      drawCards();
      wan.choose(styles[0].key);
      wan.toast(t("styles_loaded", { n: styles.length }));
    } catch (error) {
      told(error.field ? own(error, "message") : t("error_submit"));
    }
  }
  async function restore() {
    const files = wan.kept("localStorage", "wan-styles") || [];
    if (!files.length) return;
    for (const { name, content } of files) {
      try {
        await load(name, content);
      } catch (error) {
        told(error.field ? own(error, "message") : `${name}: ${error.message}`);
      }
    }
    drawCards();
    wan.choose(shown);
  }

  Object.assign(wan.mount, {
    examples(root, trigger) {
      parts.gallery = $(".wan-gallery", root);
      parts.takeExample = trigger;
      parts.toExample = roving($(".wan-strip", root));
      const all = $(".wan-all", root);
      all.onclick = () => {
        parts.gallery.dataset.all = parts.gallery.dataset.all ? "" : "1";
        all.setAttribute("aria-expanded", String(!!parts.gallery.dataset.all));
        all.textContent = t(parts.gallery.dataset.all ? "examples_fewer" : "examples_all");
      };
      wan.part(drawExamples);
    },
    styles(root, trigger) {
      parts.looks = $(".wan-looks", root);
      parts.takeStyle = trigger;
      parts.toLook = roving($(".wan-cards", root));
      const input = $("input", root);
      $(".wan-load", root).onclick = () => input.click();
      input.onchange = () => {
        if (input.files.length) loadFile(input.files[0]);
        input.value = ""; // the same file, edited, may be chosen again
      };
      $(".wan-forget", root).onclick = () => {
        const gone = loaded.some((style) => style.key === shown);
        loaded = [];
        wan.keep("localStorage", "wan-styles", []);
        drawCards();
        wan.choose(gone ? "" : shown);
      };
      wan.part(drawCards);
      restore();
    },
  });
})();
