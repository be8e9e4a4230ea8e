/* How figures are drawn: unpacking, colours of the theme, axes, and their numbers as tables. */
var repflow = (function () {
  "use strict";
  var kept = {};

  /* The inverse of packing.py's `packed`. */
  function unpack(id) {
    var element = document.getElementById("packed-" + id);
    if (!kept[id]) {
      kept[id] = { text: null, done: null };
      var bytes = Uint8Array.from(atob(element.textContent), function (c) { return c.charCodeAt(0); });
      var stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
      kept[id].done = new Response(stream).text().then(function (text) {
        kept[id].text = text;
        element.textContent = "";
        return text;
      });
    }
    return kept[id].done;
  }

  /* What has been unpacked already; null for what has not. */
  function ready(id) { return kept[id] ? kept[id].text : null; }

  /* Plotly itself, once it is unpacked: a script of its own. */
  function library() {
    if (!window.Plotly) {
      var script = document.createElement("script");
      script.textContent = ready("plotly");
      document.head.appendChild(script);
    }
    return window.Plotly;
  }

  var PAPER = "#14171c";
  var PLAIN = { "#fff": PAPER, "#ffffff": PAPER, "#1c1f23": "#e8eaee", "#5d6570": "#a3abb6", "#e7e9ec": "#2a3038", "#9aa1a9": "#6c7580" };
  var lifted = {};

  function luminance(rgb) {
    var parts = rgb.map(function (v) { v /= 255; return v <= 0.04045 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4); });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  }

  /* The same hue, light enough on a dark page: style.py's `on_dark`. */
  function lift(rgb) {
    var key = rgb.join();
    if (!lifted[key]) {
      var low = luminance([20, 23, 28]) + 0.05;
      var now = rgb.slice();
      for (var step = 0; step < 60 && (luminance(now) + 0.05) / low < 4.6; step++) {
        now = now.map(function (v) { return Math.min(255, v + Math.max(3, v * 0.05)); });
      }
      lifted[key] = now.map(Math.round);
    }
    return lifted[key];
  }

  function dark(colour) {
    if (PLAIN[colour]) { return PLAIN[colour]; }
    var hex = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(colour);
    if (hex) { return "rgb(" + lift(hex.slice(1).map(function (v) { return parseInt(v, 16); })) + ")"; }
    var parts = /^rgba\((\d+),(\d+),(\d+),([\d.]+)\)$/.exec(colour);
    return parts ? "rgba(" + lift(parts.slice(1, 4).map(Number)) + "," + Math.min(1, parts[4] * 1.3) + ")" : colour;
  }

  var NUMBERS = ["x", "y", "z", "customdata", "text", "colorscale", "tickvals", "ticktext", "hovertemplate"];

  /* A figure in the colours of the dark theme. */
  function darkened(thing) {
    if (Array.isArray(thing)) { return thing.map(darkened); }
    if (thing && typeof thing === "object") {
      var found = {};
      Object.keys(thing).forEach(function (key) { found[key] = NUMBERS.indexOf(key) < 0 ? darkened(thing[key]) : thing[key]; });
      return found;
    }
    return typeof thing === "string" && /^(#|rgb)/.test(thing) ? dark(thing) : thing;
  }

  /* Whether a figure's axis shows 0 to 1 whole, so that it can be fitted to what is drawn. */
  function isWhole(layout) {
    var axis = layout.yaxis;
    return axis && !layout.yaxis2 && axis.type !== "log" && axis.range && axis.range[0] <= 0.001 && axis.range[1] >= 0.98 && axis.range[1] <= 1.2;
  }

  /* The range of everything that is drawn in figures side by side; null where no axis is to be fitted. */
  function reach(figures, choice) {
    var low = Infinity, high = -Infinity;
    function take(value) { if (typeof value === "number") { low = Math.min(low, value); high = Math.max(high, value); } }
    figures.forEach(function (figure) {
      if (!figure || !isWhole(figure.layout)) { return; }
      figure.data.forEach(function (trace) {
        if (trace.type !== "scatter" || isGone(trace, choice)) { return; }
        (trace.y || []).forEach(function (value, i) {
          take(value);
          var bars = trace.error_y;
          if (bars && typeof value === "number") { take(value + ((bars.array || [])[i] || 0)); take(value - ((bars.arrayminus || [])[i] || 0)); }
        });
      });
      (figure.layout.shapes || []).forEach(function (shape) { if (shape.yref !== "paper") { take(shape.y0); take(shape.y1); } });
    });
    if (low > high) { return null; }
    var pad = 0.06 * (high - low || 0.1);
    return [low - pad, high + pad];
  }

  function isGone(trace, choice) {
    var number = /^s(\d+)-/.exec(trace.uid || "");
    return Boolean(number) && choice.hidden.has(choice.numbers[number[1]]);
  }

  /* The layout under the choice of axes, and on a narrow screen with room for a legend of a line a subject. */
  function fitted(layout, traces, element, choice) {
    var changed = Object.assign({}, layout);
    if (choice.reach && isWhole(layout)) { changed.yaxis = Object.assign({}, layout.yaxis, { range: choice.reach }); }
    if (layout.showlegend && element.clientWidth < 600) {
      var lines = traces.filter(function (trace) { return trace.showlegend !== false && trace.visible !== false; }).length;
      changed.height = layout.height + 20 * lines;
    }
    return changed;
  }

  var CONFIG = {
    displaylogo: false, responsive: true, showSendToCloud: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
    toImageButtonOptions: { format: "svg" }
  };

  function draw(element, figure, choice) {
    var traces = figure.data.map(function (trace) {
      return isGone(trace, choice) ? Object.assign({}, trace, { visible: false }) : trace;
    });
    var layout = fitted(figure.layout, traces, element, choice);
    if (choice.dark) { traces = darkened(traces); layout = darkened(layout); }
    library().react(element, traces, layout, CONFIG);
  }

  function cell(row, kind, text) {
    var made = document.createElement(kind);
    made.textContent = text;
    if (kind === "th") { made.scope = "col"; }
    row.appendChild(made);
  }

  function plain(value) {
    return value === null || value === undefined ? "" : String(value).replace(/<br>/g, " ").replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
  }

  /* A figure's numbers as a table. */
  function tabled(figure, caption) {
    var table = document.createElement("table");
    table.className = "numbers plain";
    table.createCaption().textContent = caption;
    var head = table.createTHead().insertRow();
    var body = table.createTBody();
    figure.data.forEach(function (trace) {
      if (trace.type === "heatmap") {
        [""].concat(trace.x).forEach(function (name) { cell(head, "th", plain(name)); });
        trace.y.forEach(function (name, row) {
          var line = body.insertRow();
          cell(line, "td", plain(name));
          trace.z[row].forEach(function (value) { cell(line, "td", value === null ? "" : plain(value)); });
        });
      } else if (trace.hoverinfo !== "skip" && trace.y) {
        if (!head.cells.length) { ["", "x", "y", ""].forEach(function (name) { cell(head, "th", name); }); }
        trace.y.forEach(function (value, at) {
          if (value === null) { return; }
          var line = body.insertRow();
          var more = trace.customdata && trace.customdata[at];
          [trace.name || "", trace.x && trace.x[at], value, Array.isArray(more) ? more.join(", ") : more].forEach(function (text) { cell(line, "td", plain(text)); });
        });
      }
    });
    return table;
  }

  return { unpack: unpack, ready: ready, reach: reach, draw: draw, tabled: tabled, library: library };
})();
