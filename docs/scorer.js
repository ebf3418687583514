// Sphinx's own weights; decisions and the changelog come after the pages that people look for.
var Scorer = {
  score: ([docname, , , , score]) => (/^(adr\/0|changelog)/.test(docname) ? score - 30 : score),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
