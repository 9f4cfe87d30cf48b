/* What the dialogs of all nodes share. Each node's html loads it with
   <script src="resources/@ticklake/node-red-ticklake/editor.js"></script> before its own script. */
(function () {
  if (window.ticklake) return;

  // A value that Node-RED substitutes at deploy cannot be judged here.
  var isEnv = function (v) { return typeof v === "string" && /\$\{[^}]+\}/.test(v); };
  var isBlank = function (v) { return v === undefined || v === null || v === ""; };
  var language = function () { return window.RED && RED.i18n && RED.i18n.lang ? RED.i18n.lang() : "en-US"; };
  var DURATION = /^\s*(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)?\s*$/i;

  /** A text in the editor's language: of a node's own catalogue ("kafka-in.reason.topic"), or of the one that all nodes share ("ticklake.reason.number"). */
  var text = function (node, key, values) {
    var own = node && (node._ || (node._def && node._def._));
    return (own || RED._)(key, values);
  };
  var because = function (node, why, values) { return text(node, "ticklake.reason." + why, values); };

  /** A property of a node or config node: what its open dialog says now, else what is saved. */
  var current = function (node, name) {
    var field = $("#node-input-" + name + ", #node-config-input-" + name);
    var editing = window.RED && RED.editor && RED.editor.getEditStack ? RED.editor.getEditStack().slice(-1)[0] : undefined;
    return field.length && editing && editing.id === node.id ? field.val() : node[name];
  };

  /** Why the value in the open dialog is wrong, or null. */
  var reason = function (name) {
    var node = RED.editor.getEditStack().slice(-1)[0];
    var property = node && node._def && node._def.defaults[name];
    if (!property || !property.validate) return null;
    var answer = property.validate.call(node, $("#node-input-" + name).val(), {});
    return typeof answer === "string" ? answer : null;
  };

  var TIME = /^\s*(\d{1,15}|\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?)?)\s*$/i;
  /** A time as nodes take it: ISO 8601, a day, or Unix milliseconds. */
  var isTime = function (v) { return TIME.test(v) && !(/-/.test(v) && isNaN(Date.parse(String(v).trim().slice(0, 10)))); };

  /** Whether the value of a typed input is something else than what stands in the field: a property, a variable. */
  var isElsewhere = function (node, type) { var chosen = type && current(node, type); return Boolean(chosen) && chosen !== "str" && chosen !== "num"; };

  /* Node-RED shows a reason only when the validator has exactly two parameters. `this` is the node. */
  var validate = {
    /** A number with bounds: {min, max, integer, optional}. With {type: "rateType"} only when that typed input is a number. */
    number: function (o) {
      o = o || {};
      return function (v, opt) {
        if (isElsewhere(this, o.type)) return isBlank(v) ? because(this, "property") : true;
        if (isEnv(v)) return true;
        if (isBlank(v)) return o.optional ? true : because(this, "number");
        var n = Number(v);
        if (!isFinite(n)) return because(this, "notNumber", { value: v });
        if (o.integer && Math.floor(n) !== n) return because(this, "whole");
        if (o.min !== undefined && n < o.min) return because(this, "least", { min: o.min });
        if (o.max !== undefined && n > o.max) return because(this, "most", { max: o.max });
        return true;
      };
    },
    /** Seconds, or a duration in words: 10, "10 seconds", "500 ms". */
    duration: function (o) {
      o = o || {};
      return function (v, opt) {
        if (isEnv(v)) return true;
        if (isBlank(v)) return o.optional ? true : because(this, "duration");
        return DURATION.test(String(v)) || because(this, "noDuration", { value: v });
      };
    },
    /** Not empty; with {pattern, hint} also of that form: hint is the key of the reason. With {type: "fileType"} only when that typed input is a plain string. */
    text: function (o) {
      o = o || {};
      return function (v, opt) {
        if (isElsewhere(this, o.type)) return isBlank(v) ? because(this, "property") : true;
        if (isEnv(v)) return true;
        if (isBlank(v)) return o.optional ? true : (o.hint ? text(this, o.hint) : because(this, "missing"));
        return !o.pattern || o.pattern.test(v) || (o.hint ? text(this, o.hint) : because(this, "form"));
      };
    },
    /** A time, or empty with {optional}; {hint} is the key of another reason. With {type: "fromType"} only when that typed input is a plain string. */
    time: function (o) {
      o = o || {};
      return function (v, opt) {
        if (isElsewhere(this, o.type) || isEnv(v)) return true;
        if (isBlank(v) && o.optional) return true;
        return (!isBlank(v) && isTime(v)) || (o.hint ? text(this, o.hint) : because(this, "time"));
      };
    },
    /** JSON text, or empty with {optional}. */
    json: function (o) {
      o = o || {};
      return function (v, opt) {
        if (isEnv(v)) return true;
        if (isBlank(v)) return o.optional ? true : because(this, "json");
        try { JSON.parse(v); return true; } catch (e) { return because(this, "noJson", { why: e.message }); }
      };
    },
    /** A config node of that kind is chosen: account, broker, catalog or cluster. */
    config: function (kind) {
      return function (v, opt) { return !isBlank(v) && v !== "_ADD_" ? true : text(this, "ticklake.choose." + kind); };
    }
  };

  window.ticklake = {
    validate: validate,
    text: text,
    /** A number as the editor's language writes it. */
    number: function (n) { return Number(n).toLocaleString(language()); },
    isTime: isTime,
    isEnv: isEnv,
    isBlank: isBlank,
    /** The properties of sources on delivery (delivery-section.html; without {rows} delivery-failure.html). */
    deliveryDefaults: function (o) {
      var validate = window.ticklake.validate;
      var rows = o && o.rows === false ? {} : { maxInFlight: { value: 500000, validate: validate.number({ min: 1, integer: true }) } };
      return Object.assign(rows, {
        maxInFlightBytes: { value: 67108864, validate: validate.number({ min: 1, integer: true }) },
        onFailure: { value: "retry" },
        maxAttempts: { value: 5, validate: validate.number({ min: 1, integer: true }) },
        deliveryTimeout: { value: 300, validate: validate.duration() },
        caughtIsDone: { value: false }
      });
    },
    /** Names that somebody gave are in italics, as those of all nodes. */
    labelStyle: function () { return this.name ? "node_label_italic" : ""; },
    /** A duration in seconds, for forecasts; undefined for text that is none. */
    seconds: function (text) {
      var m = DURATION.exec(String(text));
      if (!m) return undefined;
      var unit = (m[2] || "s").toLowerCase();
      return Number(m[1]) * (/^(ms|milli)/.test(unit) ? 0.001 : { s: 1, m: 60, h: 3600, d: 86400 }[unit[0]]);
    },
    /**
     * What an interval makes of a lake, as parts of a text ({key, values} of a node's "forecast" labels):
     * {seconds, maxRows, rowsPerSecond, bytesPerRow, filesPerCommit, maintenance}; a rate that is not known leaves sizes out.
     */
    forecast: function (o) {
      if (o.seconds === undefined) return [{ key: "none", values: {} }];
      var TARGET = 128 * 1024 * 1024, GOOD = TARGET / 8, MANY = 500;
      var rate = o.rowsPerSecond, bytesPerRow = o.bytesPerRow || 15, filesPerCommit = Math.max(1, o.filesPerCommit || 1);
      // A commit is due at its bound of rows, whatever the interval.
      var every = rate && o.maxRows > 0 ? Math.min(o.seconds, o.maxRows / rate) : o.seconds;
      var number = function (n, digits) { return Number(n.toFixed(digits || 0)).toLocaleString(language(), { maximumFractionDigits: 6 }); };
      var size = function (bytes) { return bytes >= 1e6 ? number(bytes / 1e6, bytes < 1e7 ? 1 : 0) + " MB" : Math.max(1, Math.round(bytes / 1e3)) + " kB"; };
      var words = function (s) { return s >= 3600 ? number(s / 3600, 1) + " h" : s >= 120 ? number(s / 60, 1) + " min" : number(+s.toPrecision(3), 6) + " s"; };
      var parts = [], files, bytes;
      if (o.seconds === 0) parts.push({ key: "zero", values: {} });
      else {
        files = 86400 / every * filesPerCommit;
        bytes = rate ? rate * every * bytesPerRow / filesPerCommit : undefined;
        parts.push(bytes === undefined
          ? { key: "files", values: { every: words(every), files: number(86400 / every) } }
          : { key: "sized", values: { every: words(every), rate: number(rate), files: number(files), size: size(bytes) } });
      }
      if (o.seconds > 0 && (files <= MANY || bytes >= GOOD)) { if (bytes >= GOOD) parts.push({ key: "good", values: {} }); }
      else if (!o.maintenance) parts.push({ key: "advise", values: {} });
      else if (bytes === undefined) parts.push({ key: "merged", values: {} });
      else parts.push({ key: "maintained", values: { left: number(Math.max(Math.ceil(filesPerCommit), Math.ceil(files * bytes / TARGET))) } });
      return parts;
    },
    /** A property of a node for a validator: what its open dialog says now, else what is saved. */
    current: current,
    /** Turns #node-input-<name> into a typed input that stores its type in #node-input-<name>Type. */
    typed: function (name, types, fallback) {
      var input = $("#node-input-" + name);
      input.typedInput({ default: fallback || types[0], types: types, typeField: $("#node-input-" + name + "Type") });
      // Node-RED hangs the reason on the original input, which a typed input hides: show it where the user points.
      RED.popover.tooltip(input.next(".red-ui-typedInput-container"), function () { return input.hasClass("input-error") ? reason(name) : null; });
    },
    /** The section of sources on delivery (delivery-section.html): how often to try matters only to those that stop. */
    deliverySection: function (type) {
      $("#node-input-onFailure").on("change", function () { $("#node-" + type + "-attempts").toggle($(this).val() !== "retry"); }).trigger("change");
    },
    /**
     * The SQL of a dialog with nodes/shared/sql-section.html: written in an editor, or a property that holds it. `templates` are pairs of a key and SQL, or
     * a function that gives it; {table} in it becomes `table()`. The node keeps the editor as `sqlEditor`; end it with sqlSave or sqlCancel.
     */
    sqlSection: function (node, type, o) {
      var from = node.sqlType || "str";
      $("#node-input-sqlSource").val(from);
      node.sqlEditor = RED.editor.createEditor({ id: "node-input-sql-editor", mode: "ace/mode/sql", value: from === "str" ? (node.sql || "") : "" });
      if (from !== "str") $("#" + type + "-path").val(node.sql);
      $("#node-input-sqlSource").on("change", function () {
        var here = $(this).val() === "str";
        $("#" + type + "-editor-rows, #" + type + "-template-row").toggle(here);
        $("#" + type + "-path-row").toggle(!here);
        if (!here && !$("#" + type + "-path").val()) $("#" + type + "-path").val("sql");
      }).trigger("change");
      var select = $("#" + type + "-template").empty().append($("<option>").val("").text(node._(type + ".template.choose")));
      o.templates.forEach(function (t, i) { select.append($("<option>").val(i).text(node._(type + ".template." + t[0]))); });
      select.on("change", function () {
        var t = o.templates[this.value];
        if (t) node.sqlEditor.setValue((typeof t[1] === "function" ? t[1]() : t[1]).replace("{table}", o.table()), -1);
        this.value = "";
      });
    },
    sqlSave: function (node, type) {
      var from = $("#node-input-sqlSource").val();
      $("#node-input-sqlType").val(from);
      $("#node-input-sql").val(from === "str" ? node.sqlEditor.getValue() : $("#" + type + "-path").val());
      ticklake.sqlCancel(node);
    },
    sqlCancel: function (node) {
      node.sqlEditor.destroy();
      delete node.sqlEditor;
    },
    /**
     * Names the tables below the editor of sqlSection; a click shows the columns. `path` leads to /tables and /columns?table= of an admin endpoint; `prefix`
     * stands before the names. `done` gets all names. Whoever looks up again ends what is under way.
     */
    sqlTables: function (node, type, o) {
      var box = $("#" + type + "-columns").hide().empty();
      var mine = box.data("asked", (box.data("asked") || 0) + 1).data("asked");
      if (!o) return;
      $.getJSON("ticklake/" + o.path + "/tables").done(function (r) {
        // Another was chosen meanwhile.
        if (box.data("asked") !== mine) return;
        var tables = r.tables || [];
        o.done(tables);
        if (!tables.length) return;
        box.show().append($("<span>").text(node._(type + ".hint.tables") + " "));
        tables.slice(0, 12).forEach(function (name) {
          $("<a>", { href: "#", style: "margin-right:10px; white-space:nowrap" }).text(name).appendTo(box).on("click", function (ev) {
            ev.preventDefault();
            $.getJSON("ticklake/" + o.path + "/columns", { table: name }).done(function (c) {
              $("#" + type + "-columns-of").remove();
              $("<div>", { id: type + "-columns-of" }).appendTo(box).text(o.prefix + name + " (" + c.columns.map(function (f) { return f.name + " " + f.type; }).join(", ") + ")");
            });
          });
        });
      });
    },
    /** The "run" button of sqlSection: posts `body()`, says `done(answer)` and shows its rows. `lacks()` says what is missing, if anything. */
    sqlRun: function (type, o) {
      $("#" + type + "-run").on("click", function () {
        var status = $("#" + type + "-run-status");
        var box = $("#" + type + "-result").hide().empty();
        var lacks = o.lacks();
        if (lacks) { status.text("✘ " + lacks); return; }
        status.text("…");
        $.ajax({ url: ticklake.admin(type + "/run"), method: "POST", contentType: "application/json", data: JSON.stringify(o.body()) }).done(function (r) {
          status.text("✔ " + o.done(r));
          ticklake.rowsTable(r.columns, r.rows, o.isNumber).appendTo(box);
          box.show();
        }).fail(function (x) {
          status.text("✘ " + (x.responseJSON && x.responseJSON.message || x.status + " " + x.statusText));
        });
      });
    },
    /** Rows as a table: `columns` are {name, type}, `isNumber` tells the types whose values, also as text, stand at the right. */
    rowsTable: function (columns, rows, isNumber) {
      var head = $("<tr>");
      columns.forEach(function (c) { $("<th>", { scope: "col", title: c.type, style: "position:sticky; top:0; background:var(--red-ui-secondary-background, #eee); padding:3px 8px; text-align:left; white-space:nowrap" }).text(c.name).appendTo(head); });
      var body = $("<tbody>");
      rows.forEach(function (row) {
        var tr = $("<tr>").appendTo(body);
        columns.forEach(function (c) {
          var v = row[c.name];
          var right = typeof v === "number" || (typeof v === "string" && isNumber.test(c.type));
          $("<td>", { style: "padding:2px 8px; white-space:nowrap; border-top:1px solid var(--red-ui-form-input-border-color, #ddd);" + (right ? "text-align:right" : "") + (v === null ? ";font-style:italic" : "") })
            .text(v === null ? "null" : typeof v === "object" ? JSON.stringify(v) : String(v)).appendTo(tr);
        });
      });
      return $("<table>", { style: "border-collapse:collapse; font-family:monospace; font-size:12px; min-width:100%" }).append($("<thead>").append(head), body);
    },
    /** Relative address of one of our admin endpoints. */
    admin: function (path) { return "ticklake/" + path; },
    /** Wires a "test connection" button: posts the dialog's values, shows the answer beside it in words and with an icon. */
    testButton: function (button, result, path, values) {
      $(button).on("click", function (ev) {
        ev.preventDefault();
        var out = $(result).removeClass("ticklake-ok ticklake-bad").text("…");
        // At the end of a long dialog the answer would come below its edge.
        var show = function () { if (out[0] && out[0].scrollIntoView) out[0].scrollIntoView({ block: "nearest" }); };
        $.ajax({ url: "ticklake/" + path, method: "POST", contentType: "application/json", data: JSON.stringify(values()) })
          .done(function (r) { out.addClass(r.ok ? "ticklake-ok" : "ticklake-bad").text((r.ok ? "✔ " : "✘ ") + r.message); })
          .fail(function (x) { out.addClass("ticklake-bad").text("✘ " + (x.responseJSON && x.responseJSON.message || x.status + " " + x.statusText)); })
          .always(show);
      });
    }
  };
})();
