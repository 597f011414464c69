"""TRL's SFTTrainer on a small model of its own, with report_to="expman"."""

import sys

from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

import expman.integrations.transformers  # noqa: F401 - registers "expman"

base, out, mode = sys.argv[1:]
text = "the quick brown fox jumps over lazy dogs and cats"
words = ["<pad>", "<unk>", "<eos>", *text.split()]
numbers = {word: number for number, word in enumerate(words)}
tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
fast = PreTrainedTokenizerFast(
    tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", eos_token="<eos>"
)
config = GPT2Config(
    vocab_size=len(words), n_positions=32, n_embd=16, n_layer=1, n_head=2, eos_token_id=2
)
texts = Dataset.from_dict({"text": [" ".join(words[3 + n % 5 :]) for n in range(64)]})
trainer = SFTTrainer(
    GPT2LMHeadModel(config),
    SFTConfig(
        out,
        run_name="sft",
        report_to="expman",
        max_steps=4,
        logging_steps=2,
        per_device_train_batch_size=4,
        eval_strategy="steps",
        eval_steps=4,
        save_steps=4,
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
    ),
    train_dataset=texts,
    eval_dataset=texts.select(range(8)),
    processing_class=fast,
)
trainer.train()
