/* One example token by token, coloured at the site that a slider chooses. */
repflow.tokens = function (root, changed) {
  "use strict";
  var ramp = JSON.parse(document.getElementById("cividis").textContent);
  var slider = root.querySelector("input");
  var output = root.querySelector("output");
  var box = root.querySelector(".tokens");
  var ends = [root.querySelector(".token-low"), root.querySelector(".token-high")];
  var buttons = Array.from(root.querySelectorAll("[data-channel]"));
  var channel = 0;
  var spans = [];
  var written = null;
  slider.addEventListener("input", changed);
  buttons.forEach(function (button) {
    button.addEventListener("click", function () {
      channel = Number(button.dataset.channel);
      buttons.forEach(function (b) { b.setAttribute("aria-pressed", String(b === button)); });
      changed();
    });
  });

  function bytes(text) { return Uint8Array.from(atob(text), function (c) { return c.charCodeAt(0); }); }

  function opened(text) {
    if (!text.bits) {
      text.bits = bytes(text.marked);
      text.channels.forEach(function (c) { c.bytes = bytes(c.steps); });
    }
    return text;
  }

  function marked(text, at) { return Boolean(text.bits[at >> 3] & (128 >> (at & 7))); }

  function value(c, site, at) {
    if (c.bytes[at] === 255) { return "none"; }
    var found = c.low[site] + c.bytes[at] / 254 * c.span[site];
    return Number((c.log ? Math.pow(10, found) : found).toPrecision(2)).toString();
  }

  /* The colour of a step, and whether dark letters are read better on it. */
  function colour(step) {
    var place = step / 254 * (ramp.length - 1);
    var at = Math.min(Math.floor(place), ramp.length - 2);
    var mixed = [1, 3, 5].map(function (i) {
      var a = parseInt(ramp[at].slice(i, i + 2), 16), b = parseInt(ramp[at + 1].slice(i, i + 2), 16);
      return Math.round(a + (b - a) * (place - at));
    });
    return ["rgb(" + mixed + ")", place / (ramp.length - 1) > 0.45 ? "#14171c" : "#fff"];
  }

  function write(text) {
    box.replaceChildren();
    spans = text.tokens.map(function (token) {
      var span = document.createElement("span");
      span.textContent = token.replace(/\n/g, "⏎\n");
      box.appendChild(span);
      return span;
    });
    slider.max = text.sites.length - 1;
    written = text;
  }

  function show(text) {
    opened(text);
    if (written !== text) { write(text); }
    var site = Math.min(Number(slider.value), text.sites.length - 1);
    var c = text.channels[channel];
    output.textContent = text.sites[site];
    slider.setAttribute("aria-valuetext", text.sites[site]);
    ends.forEach(function (end, i) { end.textContent = c.ends[site][i]; });
    spans.forEach(function (span, i) {
      var at = site * spans.length + i;
      var look = c.bytes[at] === 255 ? ["transparent", "inherit"] : colour(c.bytes[at]);
      span.style.background = look[0];
      span.style.color = look[1];
      var gone = marked(text, at);
      span.classList.toggle("struck", gone);
      span.title = text.channels.map(function (each) { return each.name + " " + value(each, site, at); }).join(", ") + (gone ? "; " + text.struck : "");
    });
  }

  function tabled(text) {
    opened(text);
    var site = Number(slider.value);
    var table = document.createElement("table");
    table.className = "numbers plain";
    table.createCaption().textContent = text.sites[site];
    var head = table.createTHead().insertRow();
    ["token"].concat(text.channels.map(function (c) { return c.name; }), text.struck).forEach(function (name) {
      var cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = name;
      head.appendChild(cell);
    });
    var body = table.createTBody();
    text.tokens.forEach(function (token, i) {
      var row = body.insertRow();
      var at = site * text.tokens.length + i;
      [JSON.stringify(token)].concat(text.channels.map(function (c) { return value(c, site, at); }), marked(text, at) ? "yes" : "").forEach(function (word) { row.insertCell().textContent = word; });
    });
    return table;
  }

  return { show: show, tabled: tabled };
};
