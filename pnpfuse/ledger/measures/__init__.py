"""What several claims share: what they measure, and the statistics that decide.

A file in the folder of a paper is a claim and nothing else; what two claims have in common is a
file here, named after what it measures.

Models seed by seed: `paired` (two of them: interval, difference, judgement, sentence, figure) and
`several` (some against others, over those). Their scores under other conditions: `subsets`,
`missing_input`, `retrieval`, `n_by_b`, `table7`. What they have learned: `encodings`, `separation`,
`kernel_distances`, `conflict`, `laziness_probes`, `scope_states`. Blocks as they are made:
`counting`, `paths`, `mapped`. Rows and pairs with a known answer: `gaussian_pairs`, `critics`,
`neighbours`, `batch_attention`. Cells: `poisson`, `switching`, `cell_figures`. The papers' own
numbers: `printed_pmr`, `printed_infobridge`. Sentences: `wording`.
"""
