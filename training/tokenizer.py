"""The tokenizer of the embedded model: a SentencePiece unigram vocabulary, packed as a transformers tokenizer.

Owns how captions become pieces. Does not know the model that reads them. The packed form is the `tokenizers` JSON under
`PreTrainedTokenizerFast`, because transformers 5 builds its `T5Tokenizer` anew: from a SentencePiece file with only the
special tokens in it, from `tokenizer.json` without its normaliser, and says nothing in either case.

    python -m training.tokenizer --out .train/tokenizer
"""

from __future__ import annotations

import argparse
import io
import random
import re
from collections.abc import Iterable
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from training.config import TEXT_TOKENS

PAD, EOS, UNK = "<pad>", "</s>", "<unk>"
VOCAB_PIECES = 4000
MAX_HAN_CHARS = 2
_HAN = re.compile(r"[\u4e00-\u9fff]")


def train(captions: Iterable[str], *, vocab_pieces: int = VOCAB_PIECES) -> bytes:
    """Train a unigram model on normalised captions.

    Args:
        captions: texts in any language.
        vocab_pieces: upper limit; a small corpus gives fewer.

    Returns:
        The serialised SentencePiece model: pieces 0, 1, 2 are padding, end and unknown.
    """
    model = io.BytesIO()
    fold = _normalizer()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(fold.normalize_str(caption) for caption in captions),
        model_writer=model,
        model_type="unigram",
        vocab_size=vocab_pieces,
        hard_vocab_limit=False,
        character_coverage=1.0,
        max_sentencepiece_length=12,
        normalization_rule_name="identity",
        split_by_unicode_script=True,
        split_digits=True,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=2,
        minloglevel=1,
    )
    return model.getvalue()


def pack(sentencepiece_model: bytes, out: Path) -> PreTrainedTokenizerBase:
    """Write the vocabulary as a transformers tokenizer and load it back.

    Args:
        sentencepiece_model: from `train`.
        out: folder; `AutoTokenizer.from_pretrained(out)` reads it.

    Raises:
        ValueError: when the tokenizer that was read back lost pieces.
    """
    proto = sentencepiece_model_pb2.ModelProto.FromString(sentencepiece_model)
    vocab = [(piece.piece, piece.score) for piece in proto.pieces if _is_short(piece.piece)]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=proto.trainer_spec.unk_id, byte_fallback=False))
    tokenizer.normalizer = _normalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    end = (EOS, proto.trainer_spec.eos_id)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS}", pair=f"$A {EOS} $B {EOS}", special_tokens=[end]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=EOS, unk_token=UNK, model_max_length=TEXT_TOKENS
    )
    fast.save_pretrained(out)
    loaded = AutoTokenizer.from_pretrained(out)
    if loaded.get_vocab() != fast.get_vocab() or len(loaded) != len(vocab):
        raise ValueError(f"{out}: read back {len(loaded)} pieces of {len(vocab)}")
    return loaded


def _is_short(piece: str) -> bool:
    """False for a Chinese phrase: the unigram trainer keeps whole ones, which would hide the words in them."""
    return len(_HAN.findall(piece)) <= MAX_HAN_CHARS


def _normalizer() -> normalizers.Normalizer:
    """Full-width forms to half-width, lower case, runs of white space to one: what a person types varies in these."""
    steps = [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    return normalizers.Sequence(steps)


def main() -> None:
    """Train on the caption grammar's corpus and write the packed tokenizer."""
    from training.captions import corpus

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--captions", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    tokenizer = pack(train(corpus(random.Random(args.seed), args.captions)), args.out)
    print(f"{len(tokenizer)} pieces")


if __name__ == "__main__":
    main()
