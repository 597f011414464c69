"""A trainer of sentence-transformers on a small model of its own, with an evaluator."""

import sys

from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.evaluation import EmbeddingSimilarityEvaluator
from sentence_transformers.losses import CosineSimilarityLoss
from sentence_transformers.models import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers

import expman.integrations.transformers  # noqa: F401 - registers "expman"

base, out, mode = sys.argv[1:]
text = "the quick brown fox jumps over lazy dogs and cats"
words = ["<unk>", *text.split()]
numbers = {word: number for number, word in enumerate(words)}
tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu")
pairs = {
    "sentence1": [" ".join(words[1 + n % 5 :]) for n in range(64)],
    "sentence2": [" ".join(words[1 + n % 4 :]) for n in range(64)],
    "score": [float(n % 5 == n % 4) for n in range(64)],
}
trainer = SentenceTransformerTrainer(
    model,
    SentenceTransformerTrainingArguments(
        out,
        run_name="pairs",
        report_to="expman",
        max_steps=4,
        logging_steps=2,
        eval_strategy="steps",
        eval_steps=2,
        save_steps=4,
        use_cpu=True,
        disable_tqdm=True,
    ),
    train_dataset=Dataset.from_dict(pairs),
    eval_dataset=Dataset.from_dict(pairs),
    loss=CosineSimilarityLoss(model),
    evaluator=EmbeddingSimilarityEvaluator(*pairs.values(), name="pairs"),
)
trainer.train()
