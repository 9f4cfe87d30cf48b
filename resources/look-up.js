/* What dialogs offer of what a server knows: topics, groups, tables, columns, symbols. Loaded after editor.js. */
(function () {
  if (!window.ticklake || ticklake.lookUp) return;
  var SECONDS = 10, SHOWN = 60;

  /** A config node's settings as its own dialog sends them. A secret that is saved stays on the server. */
  var settings = function (config) {
    var values = { id: config.id }, credentials = config.credentials || {};
    Object.keys(config._def.defaults).forEach(function (name) { values[name] = config[name]; });
    Object.keys(config._def.credentials || {}).forEach(function (name) { values[name] = credentials[name] !== undefined ? credentials[name] : credentials["has_" + name] ? "__PWRD__" : ""; });
    return values;
  };

  /** Asks one of our admin endpoints. */
  var post = ticklake.post = function (path, body) {
    return $.ajax({ url: ticklake.admin(path), method: "POST", contentType: "application/json", data: JSON.stringify(body), timeout: SECONDS * 1000 });
  };

  /** Asks the deployed config node, or, where nobody has deployed it yet, by the settings that it has in the editor. */
  var ask = function (config, list, asked) {
    var undeployed = function () { return post(config.type + "/look-up/" + list, { dialog: settings(config), asked: asked }); };
    if (config.changed) return undeployed();
    return $.ajax({ url: ticklake.admin(config.type + "/" + encodeURIComponent(config.id) + "/look-up/" + list), data: asked, timeout: SECONDS * 1000 });
  };

  /**
   * Offers values in a field: a button beside it shows them below, a click on one takes it, and they are suggested while one types. What cannot be asked
   * is said there; typing stays possible.
   *   config:  the property with the config node that is asked, or a function that gives the id of one; with `list` and `asked()`, its details
   *   from:    instead: a function that gives values ([{value, about}]), or a request for {choices}
   *   choices: makes other values of what was answered
   *   several: values stand side by side, with this between them, and a second click takes one out; `split` where they may hold blanks
   *   beside:  how many other buttons stand beside the field
   */
  ticklake.lookUp = function (node, field, o) {
    var input = $(field), id = input.attr("id");
    var typed = input.next(".red-ui-typedInput-container");
    var shown = typed.length ? typed.find("input.red-ui-typedInput-input") : input;
    var say = function (key, values) { return ticklake.text(node, "ticklake." + key, values); };
    var width = "calc(70% - " + 42 * (1 + (o.beside || 0)) + "px)";
    if (typed.length) input.typedInput("width", width); else input.css("width", width);

    var row = input.closest(".form-row");
    var known = $("<datalist>", { id: id + "-known" }).appendTo(row);
    shown.attr({ list: known.attr("id"), autocomplete: "off" });
    var box = $("<div>", { id: id + "-choices", role: "status", "aria-live": "polite" }).css({ margin: "4px 0 0 105px", maxWidth: "545px", maxHeight: "112px", overflowY: "auto" }).appendTo(row).hide();
    var button = $("<button>", { type: "button", "class": "red-ui-button", id: id + "-lookup", title: say("lookUp.button"), "aria-label": say("lookUp.button"), "aria-expanded": "false", "aria-controls": box.attr("id") })
      .css({ width: "38px", marginLeft: "4px" }).append($("<i>", { "class": "fa fa-search" })).insertAfter(typed.length ? typed : input);

    var parts = function () { return String(input.val() || "").split(o.split || /[\s,;]+/).map(function (part) { return part.trim(); }).filter(Boolean); };
    var take = function (value) {
      if (o.several) {
        var list = parts(), at = list.indexOf(value);
        if (at >= 0) list.splice(at, 1); else list.push(value);
        value = list.join(o.several);
      }
      if (typed.length) input.typedInput("type", "str").typedInput("value", value); else input.val(value);
      input.trigger("change");
      if (!o.several) fold(); else box.find("button").each(function () { mark($(this)); });
    };
    var mark = function (chip) {
      var on = parts().indexOf(chip.data("value")) >= 0 || input.val() === chip.data("value");
      chip.text((on ? "✔ " : "") + chip.data("text")).attr("aria-pressed", String(on));
    };
    var fold = function () { box.hide().empty(); button.attr("aria-expanded", "false"); };

    var offer = function (choices) {
      if (o.choices) choices = o.choices(choices);
      known.empty().append(choices.map(function (c) { return $("<option>").val(c.value).text(c.about || ""); }));
      if (button.attr("aria-expanded") !== "true") return;
      box.empty();
      if (!choices.length) { box.text(say("lookUp.none")); return; }
      choices.slice(0, SHOWN).forEach(function (c) {
        var chip = $("<button>", { type: "button", "class": "red-ui-button red-ui-button-small" }).css({ margin: "0 4px 4px 0" }).data({ value: c.value, text: c.value + (c.about ? " (" + c.about + ")" : "") });
        // Node-RED's small buttons are pale on its light theme, and say so with !important.
        chip[0].style.setProperty("color", "var(--red-ui-primary-text-color)", "important");
        mark(chip);
        chip.on("click", function (ev) { ev.preventDefault(); take(c.value); }).appendTo(box);
      });
      if (choices.length > SHOWN) $("<div>").text(say("lookUp.more", { count: choices.length - SHOWN })).appendTo(box);
    };
    var failed = function (x, how) {
      var why = x.responseJSON && x.responseJSON.message || x.status + " " + x.statusText;
      box.text(how === "timeout" ? "✘ " + say("lookUp.late", { seconds: SECONDS }) : "✘ " + say("lookUp.failed", { why: why }));
    };
    var look = function () {
      if (o.from) {
        var found = o.from();
        if (Array.isArray(found)) offer(found); else found.done(function (r) { offer(r.choices); }).fail(failed);
        return;
      }
      var chosen = typeof o.config === "function" ? o.config() : $("#node-input-" + o.config).val();
      var config = chosen && chosen !== "_ADD_" ? RED.nodes.node(chosen) : undefined;
      if (!config) { box.text("✘ " + say("choose." + o.needs)); return; }
      ask(config, o.list, o.asked ? o.asked() : {}).done(function (r) { offer(r.choices); }).fail(failed);
    };
    button.on("click", function (ev) {
      ev.preventDefault();
      if (button.attr("aria-expanded") === "true") { fold(); return; }
      button.attr("aria-expanded", "true");
      box.show().text("…");
      look();
    });
    // Suggestions are there when somebody begins to type; what keeps them away is said when he asks for them.
    shown.one("focus", look);
  };

  /** Symbols that the flows in the editor name, and well-known ones. */
  ticklake.symbols = function (more) {
    var found = [];
    var add = function (symbol) { symbol = symbol.split(/[:=]/)[0]; if (/^[A-Z][A-Z0-9.\/]{0,9}$/.test(symbol) && found.indexOf(symbol) < 0) found.push(symbol); };
    RED.nodes.eachNode(function (n) { if (/^(alpaca-in|synthetic-gen|csv-replay)$/.test(n.type) && (n.symbolsType || "str") === "str") String(n.symbols || "").split(/[\s,;]+/).forEach(add); });
    (more || []).concat("AAPL AMD AMZN AVGO BAC COST GOOGL INTC JNJ JPM KO META MSFT NFLX NVDA QQQ SPY TSLA UNH V WMT XOM".split(" ")).forEach(function (symbol) { if (found.indexOf(symbol) < 0) found.push(symbol); });
    return found.map(function (symbol) { return { value: symbol }; });
  };
})();
