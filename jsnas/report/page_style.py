"""Style sheet and script of the page: light and dark, phone and paper, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib

_LIGHT = (
    "--paper:#ffffff;--panel:#f6f7f9;--ink:#1b1f23;--muted:#57606a;--rule:#d5dae0;--link:#0b5cad;"
    "--c1:#1f6feb;--c2:#b35900;--c3:#0b7d69;--c4:#8250df;--mark:#a8325e;--run:#c2321f"
)
_DARK = (
    "--paper:#14171a;--panel:#1c2126;--ink:#e8eaed;--muted:#a9b3be;--rule:#3a424b;--link:#7ab8ff;"
    "--c1:#6cb0ff;--c2:#f7a34f;--c3:#4cc9b0;--c4:#bf97ff;--mark:#f58bb0;--run:#ff8f7d"
)

STYLE = (
    f":root{{color-scheme:light dark;{_LIGHT}}}"
    f"@media screen and (prefers-color-scheme:dark){{:root{{{_DARK}}}.hue{{--hue:var(--d)!important}}}}"
    """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
main,header{max-width:1180px;margin:auto;padding:0 20px}
header{padding-top:28px}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .3em}
h2{font-size:1.3rem;line-height:1.25;margin:2.4em 0 .5em;padding-top:.6em;border-top:1px solid var(--rule)}
h3{font-size:1rem;margin:0 0 .4em}
h3 small,.note{color:var(--muted);font-weight:400;font-size:.85rem}
p{margin:.4em 0 .8em;max-width:75ch}
.lead{font-size:1.12rem}
a{color:var(--link)}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.3em 1.2em;padding:0;margin:1em 0 0}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,150px),1fr));gap:12px;margin:1.2em 0}
.figures div{background:var(--panel);border:1px solid var(--rule);border-radius:8px;padding:12px 14px;display:flex;
flex-direction:column}
.figures dd{margin:0;font-size:1.7rem;line-height:1.2;font-variant-numeric:tabular-nums}
.figures dd small{font-size:1rem;color:var(--muted)}
.figures dt{color:var(--muted);font-size:.9rem}
.state{display:inline-block;border:1px solid var(--rule);border-radius:1em;padding:.1em .8em;font-size:.9rem}
.state.live{border-color:var(--c3);color:var(--c3)}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,330px),1fr));gap:16px}
.cards.wide{grid-template-columns:repeat(auto-fill,minmax(min(100%,420px),1fr))}
.cards.wide .chart{max-width:480px;margin:auto}
.card{background:var(--panel);border:1px solid var(--rule);border-radius:8px;padding:12px 14px;min-width:0;
break-inside:avoid}
.card p{font-size:.85rem;margin:.5em 0 0;color:var(--muted)}
.chart{display:block;width:100%;height:auto}
.chart text{fill:var(--ink);font:12px system-ui,sans-serif}
.chart .tick{fill:var(--muted);font-size:11.5px}
.chart .chosen{fill:var(--ink);font-weight:700}
.chart .name{font-size:11px;paint-order:stroke;stroke:var(--panel);stroke-width:3px;stroke-linejoin:round}
.chart .name.run,.chart .name.paper{font-weight:700}
.grid{stroke:var(--rule);fill:none;stroke-width:1}
.axis{stroke:var(--muted);fill:none;stroke-width:1}
.mark{stroke:var(--mark);fill:none;stroke-width:1.5;stroke-dasharray:4 3}
.change{stroke:var(--ink);fill:none;stroke-width:.8;opacity:.55}
.line{fill:none;stroke-width:1.4;stroke-linejoin:round;stroke-linecap:round}
.line.strong{stroke-width:2.8}
.hue{--hue:var(--l)}
.line.hue{stroke:var(--hue)}
.swatch,.band{fill:var(--hue)}
.look1{stroke:var(--c1);--look:var(--c1)}
.look2{stroke:var(--c2);--look:var(--c2);stroke-dasharray:5 3}
.look3{stroke:var(--c3);--look:var(--c3)}
.look4{stroke:var(--c4);--look:var(--c4)}
.line.look1,.line.look2,.line.look3,.line.look4{stroke-width:2}
.dot{stroke:none;fill:var(--look)}
.pixels{image-rendering:pixelated}
.leader{stroke:var(--muted);stroke-width:.7;fill:none}
.sign{stroke:var(--panel);stroke-width:1}
.sign.published{fill:var(--muted)}
.sign.paper{fill:var(--c1)}
.sign.run{fill:var(--run)}
.run-line{stroke:var(--run);stroke-width:1.8;stroke-dasharray:6 4;fill:none}
.chart .name.run{fill:var(--run)}
.chart .name.paper{fill:var(--c1)}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.2em 1.1em;padding:0;margin:.2em 0 .8em;font-size:.9rem}
.legend i{display:inline-block;width:1.4em;height:0;border-top:3px solid var(--look,var(--hue));margin-right:.4em;
vertical-align:middle}
.legend i.look2{border-top-style:dashed}
.legend i.key{width:10px;height:10px;border:0;border-radius:50%}
.key.published{background:var(--muted)}
.key.paper{background:var(--c1)}
.legend .key.run{background:var(--run);border-radius:0;transform:rotate(45deg)}
.scroll{overflow-x:auto;max-width:100%}
.sideways{display:none}
.scroll:focus-visible{outline:2px solid var(--link)}
.module svg{display:block}
.module svg{min-width:860px}
table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums;min-width:min(100%,26rem)}
caption{text-align:left;color:var(--muted);padding:.3em 0}
th,td{text-align:left;padding:.25em .8em .25em 0;border-bottom:1px solid var(--rule);vertical-align:top;
overflow-wrap:normal}
th{font-weight:600}
.n{text-align:right}
td code{overflow-wrap:anywhere}
details{margin:.8em 0}
summary{cursor:pointer;color:var(--link);padding:.2em 0}
pre{background:var(--panel);border:1px solid var(--rule);border-radius:8px;padding:10px 12px;white-space:pre-wrap;
margin:.4em 0}
code{font:.9em ui-monospace,monospace}
.cropset{display:flex;flex-wrap:wrap;gap:16px;align-items:flex-start;margin-bottom:1.6em}
.crops{display:flex;flex-wrap:wrap;gap:12px}
figure{margin:0}
figure img,.pair img{display:block;width:160px;height:160px;image-rendering:pixelated;background:var(--panel)}
figcaption{font-size:.88rem}
.pair{position:relative;width:240px;height:240px;overflow:hidden}
.pair img{position:absolute;inset:0;width:240px;height:240px}
.pair .over{clip-path:inset(0 0 0 var(--at,50%))}
.slider label{display:block;width:240px;font-size:.88rem}
.slider input{width:100%;margin:0;accent-color:var(--c1)}
footer{max-width:1180px;margin:3em auto 0;padding:1em 20px 3em;color:var(--muted);font-size:.88rem;
border-top:1px solid var(--rule)}
@media (max-width:640px){
.sideways{display:block}
main,header,footer{padding-left:14px;padding-right:14px}
.figures{grid-template-columns:1fr 1fr}
.cropset{display:block}
.crops{display:grid;grid-template-columns:1fr 1fr;max-width:340px}
figure img{width:100%;height:auto;aspect-ratio:1}
.slider{margin-top:14px}
.pair,.pair img,.slider label{width:min(100%,340px)}
.pair{height:auto;aspect-ratio:1}
.pair img{height:100%;width:100%}
}
@media print{
body{font-size:11pt}
h2{break-after:avoid}
nav,.slider,summary,.sideways{display:none}
.module svg{min-width:0}
.scroll{overflow:visible}
.cards{grid-template-columns:1fr 1fr}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
"""
)

SCRIPT = """
for (const slider of document.querySelectorAll('.slider')) {
  const crops = slider.parentElement.querySelectorAll('img[data-kind]');
  const source = kind => [...crops].find(image => image.dataset.kind === kind).src;
  const pair = slider.querySelector('.pair'), range = slider.querySelector('input');
  pair.querySelector('.under').src = source(slider.dataset.left);
  pair.querySelector('.over').src = source(slider.dataset.right);
  range.addEventListener('input', () => pair.style.setProperty('--at', range.value + '%'));
  slider.hidden = false;
}
"""

# Only this script runs and only addresses inside the page are loaded, whatever a run's files hold.
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; script-src "
    f"'sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode('ascii')}'"
)
