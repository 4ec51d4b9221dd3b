/// The language of `peer console` as values: commands and their arguments, chunk names, completion, wording.
export module shoal.console;
export import :chunks;    // FILE.partN and piece indices, both ways; summaries by ranges
export import :commands;  // the table of commands, lines parsed and completed
