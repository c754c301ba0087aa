//! Random patterns from the dialect's grammar, and tags that they are likely to concern.

use fastrand::Rng;

/// Makes patterns and tags from a seed.
pub struct Generator {
    random: Rng,
    /// Groups opened so far, so that references lead somewhere more often than not.
    groups: u32,
    version_1: bool,
    /// Mostly look-around, atomic groups and references, over two letters.
    entangled: bool,
}

const LITERALS: &[&str] = &[
    "a", "a", "a", "b", "b", "ab", "c", "A", "B", "1", "2", "-", "_", "v", "k", "s", "i",
];
const RARE_LITERALS: &[&str] = &[
    "\u{212a}", "\u{17f}", "\u{131}", "\u{130}", "\u{df}", "\u{e9}", "K", "S", "I", "]", "}", "{",
    " ", "#", "&&", "||", "~", ",", ":", "=", "<", ">", "!", "\n",
];
const ESCAPES: &[&str] = &[
    r"\d", r"\w", r"\s", r"\D", r"\W", r"\S", r"\.", r"\-", r"\_", r"\d", r"\w", r"\.",
];
const RARE_ESCAPES: &[&str] = &[
    r"\h",
    r"\H",
    r"\R",
    r"\X",
    r"\x61",
    r"\x6",
    r"\u0061",
    r"\U00000061",
    r"\141",
    r"\0",
    r"\012",
    r"\08",
    r"\N{DIGIT ONE}",
    r"\N{latin small letter a}",
    r"\N{nope}",
    r"\Na",
    r"\a",
    r"\n",
    r"\t",
    r"\f",
    r"\e",
    r"\y",
    r"\Q",
    r"\c",
    r"\<",
    r"\/",
    r"\p",
    r"\P",
    r"\g",
    r"\k<n>",
    r"\L<x>",
    r"\8",
    r"\777",
    r"\u212a",
    r"\x4B",
];
const PROPERTIES: &[&str] = &[
    r"\p{L}",
    r"\p{Lu}",
    r"\P{Lu}",
    r"\p{Ll}",
    r"\pL",
    r"\PN",
    r"\p{Nd}",
    r"\p{^L}",
    r"\p{Alpha}",
    r"\p{Punct}",
    r"\p{posix_punct}",
    r"\p{Upper}",
    r"\P{Lower}",
    r"\p{IsAlpha}",
    r"\p{gc=Lu}",
    r"\p{Script=Latin}",
    r"\p{Latin}",
    r"\p{InBasicLatin}",
    r"\p{Foo}",
    r"\p{gc=Foo}",
    r"\p{Any}",
    r"\p{CWL}",
    r"\p{CWU}",
    r"\p{SD}",
    r"\p{AHex}",
    r"\p{nv=1}",
    r"\p{ccc=0}",
    r"\p{L",
    r"\p{}",
    r"\p{Cased}",
    r"\p{Lt}",
    r"\P{LC}",
    r"\p{Assigned}",
    r"\p{NFCQC=Y}",
    r"\p{IsNFCQC}",
];
const PLACES: &[&str] = &[
    "^", "$", r"\A", r"\Z", r"\z", r"\b", r"\B", r"\m", r"\M", r"\G", r"\K", "^", "$", r"\b",
];
const POSIX: &[&str] = &[
    "[:alpha:]",
    "[:digit:]",
    "[:^digit:]",
    "[:punct:]",
    "[:upper:]",
    "[:alnum:]",
    "[:word:]",
    "[:L:]",
    "[:xdigit:]",
    "[:foo:]",
    "[:alpha]",
    "[.a.]",
    "[:space:]",
    "[:lower:]",
];
const FLAGS: &[&str] = &[
    "(?i)", "(?i)", "(?s)", "(?m)", "(?x)", "(?a)", "(?u)", "(?-i)", "(?i-s)", "(?si)", "(?p)",
    "(?b)", "(?e)", "(?w)", "(?r)", "(?f)", "(?V0)", "(?V1)", "(?L)", "(?au)", "(?z)", "(?if)",
    "(?-V1)", "(?i-i)", "(?)", "(?-)", "(?#c)", "(?ai)",
];
const SCOPED: &[&str] = &[
    "(?:", "(?:", "(?:", "(?:", "(?i:", "(?i:", "(?-i:", "(?s:", "(?m:", "(?x:", "(?a:", "(?w:",
    "(?is:", "(?f:", "(?if:",
];
const LOOKS: &[&str] = &["(?=", "(?!", "(?<=", "(?<!", "(?!", "(?="];
const QUANTIFIERS: &[&str] = &[
    "*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{0,2}", "{2,}", "{,2}", "{1}", "{0}",
    "{1,3}?", "*", "+", "?",
];
const RARE_QUANTIFIERS: &[&str] = &[
    "*+",
    "++",
    "?+",
    "{2}+",
    "{1,2}+",
    "{,2}+",
    "**",
    "+*",
    "{2}{2}",
    "{",
    "{1",
    "{1,",
    "{a}",
    "{,}",
    "{2,1}",
    "{1, 2}",
    "{e}",
    "{e<=1}",
    "{i}",
    "{s<=0}",
    "{s<=1:[a-z]}",
    "{1<=e<=2}",
    "{2i+1d<=3}",
    "{e<=}",
    "{0,0}+",
    "{01}",
];
const ODD: &[&str] = &[
    "(*F)",
    "(*FAIL)",
    "(*PRUNE)",
    "(*SKIP)",
    "(*X)",
    "(?R)",
    "(?1)",
    "(?&n)",
    "(?P>n)",
    "(?+1)",
    "(?-1)",
    "(?",
    "(?P",
    "(?<",
    "(?P<n",
    "(?(1)a|b|c)",
    "(?(x)a)",
    "(?(R)a|b)",
    "(?(0)a|b)",
    "(?(DEFINE)a)",
    "(?'n'a)",
    "(?C)",
    "(?^:a)",
    "(?P=n)",
    "(?P=1)",
    "(?P=x)",
    "(*",
    "(?(?",
];

impl Generator {
    /// A generator whose output the seed fixes.
    pub fn new(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
            groups: 0,
            version_1: false,
            entangled: false,
        }
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.random.usize(..from.len())]
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.random.u32(..n) == 0
    }

    /// A pattern.
    pub fn pattern(&mut self) -> String {
        self.groups = 0;
        self.version_1 = self.one_in(20);
        self.entangled = self.one_in(3);
        let mut pattern = String::new();
        if self.version_1 {
            pattern.push_str("(?V1)");
        }
        if self.one_in(6) {
            pattern.push_str("(?i)");
        } else if self.one_in(12) {
            let flags = self.pick(FLAGS);
            pattern.push_str(flags);
        }
        let depth = self.random.u32(u32::from(self.entangled)..4);
        self.branches(depth, &mut pattern);
        if self.one_in(8) {
            self.damage(&mut pattern);
        }
        pattern
    }

    fn branches(&mut self, depth: u32, pattern: &mut String) {
        self.sequence(depth, pattern);
        while self.one_in(4) {
            pattern.push('|');
            self.sequence(depth, pattern);
        }
    }

    fn sequence(&mut self, depth: u32, pattern: &mut String) {
        let length = match self.random.u32(..12) {
            0 => 0,
            1..=4 => 1,
            5..=8 => 2,
            9..=10 => 3,
            _ => 5,
        };
        for _ in 0..length {
            self.atom(depth, pattern);
            if self.one_in(3) {
                let quantifier = if self.one_in(6) {
                    self.pick(RARE_QUANTIFIERS)
                } else {
                    self.pick(QUANTIFIERS)
                };
                pattern.push_str(quantifier);
            }
        }
    }

    fn atom(&mut self, depth: u32, pattern: &mut String) {
        if self.entangled && !self.one_in(8) {
            return self.entangled_atom(depth, pattern);
        }
        match self.random.u32(..100) {
            0..=27 => pattern.push_str(self.pick(LITERALS)),
            28..=29 => pattern.push_str(self.pick(RARE_LITERALS)),
            30..=36 => pattern.push('.'),
            37..=44 => pattern.push_str(self.pick(ESCAPES)),
            45..=47 => pattern.push_str(self.pick(RARE_ESCAPES)),
            48..=50 => pattern.push_str(self.pick(PROPERTIES)),
            51..=60 => self.set(0, pattern),
            61..=65 => pattern.push_str(self.pick(PLACES)),
            66 => pattern.push_str(self.pick(FLAGS)),
            67 => pattern.push_str(self.pick(ODD)),
            68..=70 => self.reference(pattern),
            _ if depth == 0 => pattern.push_str(self.pick(LITERALS)),
            71..=80 => self.group("(", depth, pattern),
            81..=88 => {
                let opening = self.pick(SCOPED);
                self.enclosed(opening, depth, pattern);
            }
            89..=92 => {
                let opening = self.pick(LOOKS);
                self.enclosed(opening, depth, pattern);
            }
            93..=94 => self.enclosed("(?>", depth, pattern),
            95 => self.group("(?P<n>", depth, pattern),
            96 => self.group("(?<m>", depth, pattern),
            97 => self.enclosed("(?|", depth, pattern),
            98 => {
                pattern.push_str("(?(");
                let group = self.random.u32(1..=self.groups.max(1));
                pattern.push_str(&group.to_string());
                pattern.push(')');
                self.yes_and_no(depth, pattern);
            }
            _ => {
                pattern.push_str("(?");
                let look = self.pick(LOOKS);
                self.enclosed(look, depth - 1, pattern);
                self.yes_and_no(depth, pattern);
            }
        }
    }

    /// What makes engines disagree: several of these nested in each other.
    fn entangled_atom(&mut self, depth: u32, pattern: &mut String) {
        if depth == 0 || self.one_in(3) {
            let simple = ["a", "b", "a", "b", ".", "[ab]", "[^a]", "", "^", "$", r"\b"];
            pattern.push_str(self.pick(&simple));
            return;
        }
        match self.random.u32(..16) {
            0..=4 => {
                let opening = self.pick(LOOKS);
                self.enclosed(opening, depth, pattern);
            }
            5..=7 => self.enclosed("(?>", depth, pattern),
            8..=9 => {
                self.enclosed("(?:", depth, pattern);
                pattern.push_str(self.pick(&["*+", "++", "?+", "{1,2}+", "*", "+?", "??", "{2}"]));
            }
            10..=11 => self.group("(", depth, pattern),
            12 => self.reference(pattern),
            13 => {
                pattern.push_str("(?(1)");
                self.yes_and_no(depth, pattern);
            }
            14 => {
                pattern.push_str("(?");
                let look = self.pick(LOOKS);
                self.enclosed(look, depth - 1, pattern);
                self.yes_and_no(depth, pattern);
            }
            _ => self.enclosed("(?|", depth, pattern),
        }
    }

    fn yes_and_no(&mut self, depth: u32, pattern: &mut String) {
        self.sequence(depth - 1, pattern);
        if self.one_in(2) {
            pattern.push('|');
            self.sequence(depth - 1, pattern);
        }
        pattern.push(')');
    }

    fn group(&mut self, opening: &str, depth: u32, pattern: &mut String) {
        self.groups += 1;
        self.enclosed(opening, depth, pattern);
    }

    fn enclosed(&mut self, opening: &str, depth: u32, pattern: &mut String) {
        pattern.push_str(opening);
        self.branches(depth.saturating_sub(1), pattern);
        pattern.push(')');
    }

    fn reference(&mut self, pattern: &mut String) {
        if self.groups == 0 && !self.one_in(4) {
            return;
        }
        let group = self.random.u32(1..=self.groups.max(1));
        match self.random.u32(..4) {
            0 => pattern.push_str(&format!(r"\g<{group}>")),
            1 => pattern.push_str("(?P=n)"),
            _ => pattern.push_str(&format!(r"\{group}")),
        }
    }

    fn set(&mut self, depth: u32, pattern: &mut String) {
        pattern.push('[');
        if self.one_in(3) {
            pattern.push('^');
        }
        for index in 0..self.random.u32(1..4) {
            if index > 0 && self.one_in(8) {
                pattern.push_str(self.pick(&["--", "&&", "||", "~~", "-"]));
            }
            match self.random.u32(..20) {
                0..=7 => pattern.push_str(self.pick(LITERALS)),
                8..=11 => {
                    let range =
                        self.pick(&["a-c", "0-9", "A-Z", "a-z", "b-a", "*-.", "a-a", "A-z"]);
                    pattern.push_str(range);
                }
                12..=13 => pattern.push_str(self.pick(ESCAPES)),
                14 => pattern.push_str(self.pick(RARE_ESCAPES)),
                15 => pattern.push_str(self.pick(POSIX)),
                16 => pattern.push_str(self.pick(PROPERTIES)),
                17 => pattern.push_str(self.pick(RARE_LITERALS)),
                18 if depth < 2 && (self.version_1 || self.one_in(4)) => {
                    self.set(depth + 1, pattern);
                }
                _ => pattern.push_str(self.pick(&["-", "]", "[", "^", "b", "."])),
            }
        }
        pattern.push(']');
    }

    /// Drops, doubles or swaps in a character.
    fn damage(&mut self, pattern: &mut String) {
        let mut characters: Vec<char> = pattern.chars().collect();
        if characters.is_empty() {
            return;
        }
        let place = self.random.usize(..characters.len());
        match self.random.u32(..3) {
            0 => {
                characters.remove(place);
            }
            1 => characters.insert(place, characters[place]),
            _ => {
                let with =
                    self.pick(&["(", ")", "[", "]", "{", "}", "*", "+", "?", "|", "\\", "^"]);
                characters.splice(place..=place, with.chars());
            }
        }
        *pattern = characters.into_iter().collect();
    }

    /// Tags to try a pattern on.
    pub fn tags(&mut self, pattern: &str, count: usize) -> Vec<String> {
        let own: Vec<char> = pattern
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c))
            .collect();
        (0..count).map(|_| self.tag(&own)).collect()
    }

    fn tag(&mut self, own: &[char]) -> String {
        let few: &[char] = &['a', 'b', 'a', 'b', 'A', '1', '-'];
        let many: Vec<char> = ('!'..='~').collect();
        let alphabet: &[char] = match self.random.u32(..8) {
            0..=2 if !own.is_empty() => own,
            3 => &many,
            4 => &['a'],
            _ => few,
        };
        let length = match self.random.u32(..10) {
            0 => 0,
            1..=2 => 1,
            3..=4 => 2,
            5..=6 => 3,
            7 => 4,
            8 => 6,
            _ => 12,
        };
        let mut tag: String = (0..length)
            .map(|_| alphabet[self.random.usize(..alphabet.len())])
            .collect();
        if self.one_in(40) {
            let odd = self.pick(&[
                "\n", "\r", "\u{212a}", "\u{131}", "\u{e9}", "\u{2028}", "\t",
            ]);
            tag.push_str(odd);
            if self.one_in(3) {
                tag.push('a');
            }
        }
        tag
    }
}
