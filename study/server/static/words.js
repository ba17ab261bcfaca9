// What the server tells the page of its study, and the page's own texts, which the study file may say otherwise.
'use strict';

window.Study = window.Study || {};

Study.told = JSON.parse(document.getElementById('told').textContent);

// The text of this identifier; what stands in braces is put in.
Study.say = (name, values) => Study.told.words[name].replace(/\{(\w+)\}/g, (whole, key) => (values && key in values ? String(values[key]) : whole));
