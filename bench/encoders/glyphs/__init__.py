"""The bundled encoder of glyphs: model, tokenizer, prompts and weights."""
