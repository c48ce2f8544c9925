#!/usr/bin/env python3
"""Trains the text scorer (`rules/texts/scams.model`) and says how well it does on what it has not seen.

    train.py --data DIR --words PROGRAM --rules RULES [--benign FILE...] [--scams FILE...] [--out FILE] [--folds 5]

DIR holds malicious.tsv and benign.tsv (text, lang, source, category; `\\n` escaped). PROGRAM is the example `text_words`
of the crate guarita-inspect: it turns texts into the words the scorer sees at run time, so that training and use
cannot drift apart, and names the signals that the rules hear. FILEs hold messages as templates, a line each; `{a|b}`
stands for either.

Needs nothing beyond Python's standard library; the same input gives the same weights. What may be trained on is listed
in TRAINED, every other source is only measured; see MODEL.md beside the weights.
"""
import argparse, collections, math, random, re, struct, subprocess, sys

# Source prefix -> weight of its rows. Sources under the GPL (FakeWhatsApp.Br, fortunes) are measured, never trained on;
# rows written by hand as regression checks stay out so that they go on checking something.
TRAINED = {
    "multilingual-deception-bench pt-br seed": 2.0,
    "multilingual-deception-bench en-us seed": 1.0,
    "multilingual-deception-bench synthetic": 1.0,
    "UCI SMS Spam Collection": 0.3,
    "thyarles/unb-pca-spamdetector": 0.3,
    "PolyAI BANKING77": 1.0,
    "PolyAI restaurant8k": 0.3,
    "chatterbot-corpus": 1.0,
}
# Mishra-Soni is left out: its labels and texts are shifted against each other.
BITS = 17
STEM = 5
MASK = (1 << 64) - 1
EPOCHS, RATE, SMALL, SIGNAL_SCALE = 8, 0.3, 2e-5, 0.25
LONG = 700


def gram_hash(form, words):
    """FNV-1a over the form and the words; mirrors guarita_rules::texts::gram_hash."""
    value = ((0xCBF29CE484222325 ^ form) * 0x100000001B3) & MASK
    for word in words:
        for byte in word.encode() + b"\0":
            value = ((value ^ byte) * 0x100000001B3) & MASK
    return (value ^ (value >> 32)) & ((1 << BITS) - 1)


def grams(words):
    """The features of a text; mirrors guarita_inspect::texts::learned."""
    if len(words) < 4:
        return []
    stems = [word[:STEM] for word in words]
    found = set()
    for i, word in enumerate(words):
        found.add(gram_hash(1, [word]))
        found.add(gram_hash(2, [stems[i]]))
        if i + 1 < len(words):
            found.add(gram_hash(3, stems[i : i + 2]))
        if i + 2 < len(words):
            found.add(gram_hash(4, [stems[i], stems[i + 2]]))
    return sorted(found)


def clean(text):
    """Takes out what only the data sets write: stage directions, quotes around a whole line, a url added to every row."""
    text = text.replace("[MALICIOUS_URL]", " ")
    text = re.sub(r"\[[^\]\n]{1,60}\]:", " ", text)
    text = re.sub(r"^\s*'?\[[^\]\n]{1,60}\]", " ", text)
    text = re.sub(r"^[\s'\"]+|[\s'\"]+$", "", text)
    return re.sub(r"\([a-zà-ú ,]{6,60}\)\s*'?$", " ", text).strip()


def rows(path):
    with open(path, encoding="utf-8", errors="replace") as handle:
        names = handle.readline().rstrip("\n").split("\t")
        for line in handle:
            cells = line.rstrip("\n").split("\t")
            if len(cells) == len(names):
                yield dict(zip(names, cells))


def expand(template, rng):
    while True:
        fresh = re.sub(r"\{([^{}]*)\}", lambda m: rng.choice(m.group(1).split("|")), template)
        if fresh == template:
            return re.sub(r"\s+", " ", fresh).strip()
        template = fresh


def read(args):
    """(text, is malicious, weight, group, name) of every row; weight 0: measured only."""
    found = []
    for side in ("malicious", "benign"):
        for row in rows(f"{args.data}/{side}.tsv"):
            weight = next((w for prefix, w in TRAINED.items() if row["source"].startswith(prefix)), 0.0)
            name = re.sub(r"^multilingual-deception-bench (\S+) seed.*", r"seeds \1", row["source"])[:40]
            # A scam's paraphrases stay on one side of a split.
            group = row["category"] if row["category"].startswith("seed-") else clean(row["text"])[:40]
            if row["category"] in ("spam", "spam-mt"):
                weight *= 0.7
            found.append([clean(row["text"]), side == "malicious", weight, group, f"{side} {row['lang']} {name}"])
    # The synthetic rows repeat the seeds with words added: the same group as the seed they hold.
    seeds = {re.sub(r"\W+", "", r[0].lower()): r[3] for r in found if r[3].startswith("seed-")}
    for row in found:
        if " synthetic" in row[4] or "deception-bench synt" in row[4]:
            plain = re.sub(r"\W+", "", row[0].lower())
            row[3] = next((group for seed, group in seeds.items() if seed and seed in plain), row[3])
    rng = random.Random(7)
    for path, malicious in [(p, False) for p in args.benign] + [(p, True) for p in args.scams]:
        for number, line in enumerate(open(path, encoding="utf-8")):
            line = line.strip()
            if line and not line.startswith("#"):
                copies = sorted({expand(line, rng) for _ in range(min(10, 1 + 2 * line.count("{")))})
                # Ordinary messages carry links, too; the data sets' ones hardly do.
                if not malicious:
                    copies = [text + " https://exemplo.com.br/leia" if rng.random() < 0.4 else text for text in copies]
                for text in copies:
                    side = "malicious" if malicious else "benign"
                    found.append([text, malicious, 1.5 / len(copies) + 0.3, f"{path}:{number}", f"{side} templates {path.split('/')[-1]}"])
        # Forwards are long: several ordinary messages one after the other are an ordinary message, too.
        if not malicious:
            pool = [row[0] for row in found if row[3].startswith(f"{path}:")]
            for number in range(LONG):
                text = " ".join(rng.sample(pool, rng.choice((2, 3, 4, 6, 9, 14))))
                found.append([text, False, 0.7, f"{path} long {number}", f"benign long templates {path.split('/')[-1]}"])
    return found


def train(samples):
    """Weighted logistic regression by AdaGrad over L2-normalised binary features."""
    weights, squares, bias, bias_square = collections.defaultdict(float), collections.defaultdict(float), 0.0, 1e-6
    order = [s for s in samples if s[2] > 0 and s[0][0]]
    positive = sum(s[2] for s in order if s[1])
    negative = sum(s[2] for s in order if not s[1])
    rng = random.Random(1)
    for _ in range(EPOCHS):
        rng.shuffle(order)
        for (features, signals), label, weight in order:
            scale = 1.0 / math.sqrt(len(features))
            total = bias + scale * sum(weights[f] for f in features) + SIGNAL_SCALE * sum(weights[f] for f in signals)
            p = 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, total))))
            step = (p - label) * weight * (0.5 * (positive + negative) / (positive if label else negative)) ** 0.5
            for f in features:
                g = step * scale + SMALL * weights[f]
                squares[f] += g * g
                weights[f] -= RATE * g / math.sqrt(squares[f] + 1e-6)
            for f in signals:
                g = step * SIGNAL_SCALE + SMALL * weights[f]
                squares[f] += g * g
                weights[f] -= RATE * g / math.sqrt(squares[f] + 1e-6)
            bias_square += step * step
            bias -= RATE * step / math.sqrt(bias_square)
    return weights, bias


def score(model, sample):
    weights, bias = model
    features, signals = sample
    if not features:
        return 0.0
    total = bias + sum(weights.get(f, 0.0) for f in features) / math.sqrt(len(features))
    total += SIGNAL_SCALE * sum(weights.get(f, 0.0) for f in signals)
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, total))))


def table(scored, thresholds):
    groups = collections.defaultdict(list)
    for name, value in scored:
        groups[name].append(value)
    print("".ljust(58), "rows".rjust(6), *(f"{t:.3f}".rjust(8) for t in thresholds))
    for name, values in sorted(groups.items()):
        print(name.ljust(58), str(len(values)).rjust(6), *(f"{100 * sum(v >= t for v in values) / len(values):.2f}%".rjust(8) for t in thresholds))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--words", required=True)
    parser.add_argument("--rules", required=True)
    parser.add_argument("--benign", nargs="*", default=[])
    parser.add_argument("--scams", nargs="*", default=[])
    parser.add_argument("--out")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--scores", help="write every row's held-out score here")
    args = parser.parse_args()
    data = read(args)
    given = "\n".join(row[0].replace("\n", "\\n") for row in data) + "\n"
    out = subprocess.run([args.words, args.rules], input=given, capture_output=True, text=True, check=True).stdout.split("\n")
    samples = []
    for line, row in zip(out, data):
        words, _, signals = line.partition("\t")
        named = [signal.split(":", 1) for signal in signals.split()]
        features = (grams(words.split(" ")), [gram_hash(int(form), [name]) for form, name in named])
        samples.append((features, int(row[1]), row[2]))
    folds = [hash_of(row[3]) % args.folds for row in data]
    scored = []
    thresholds = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    if args.folds > 1:
        for fold in range(args.folds):
            model = train([s for s, f in zip(samples, folds) if f != fold])
            scored += [(row, score(model, s[0])) for row, s, f in zip(data, samples, folds) if f == fold]
        print("held out, by fold:")
        table([(row[4], value) for row, value in scored], thresholds)
        if args.scores:
            with open(args.scores, "w") as handle:
                for row, value in sorted(scored, key=lambda x: x[1]):
                    handle.write(f"{value:.3f}\t{row[4]}\t{row[3]}\t{row[0]}\n")
    if args.out:
        weights, bias = train(samples)
        scale = max(abs(w) for w in weights.values()) / 127
        body = bytearray(1 << BITS)
        for feature, weight in weights.items():
            body[feature] = round(weight / scale) & 0xFF
        with open(args.out, "wb") as handle:
            handle.write(b"GTXT" + struct.pack("<IIff", 1, BITS, scale, bias) + body)
        print(f"wrote {args.out}")


def hash_of(group):
    return gram_hash(9, [group])


if __name__ == "__main__":
    main()
