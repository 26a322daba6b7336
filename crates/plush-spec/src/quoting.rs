//! Finds the places in a line for `/bin/sh` where the shell would not expand a value as intended.
//! Only for warnings: a misread place costs a hint, not safety (see `shell_line`).
//!
//! It follows quotes, comments, substitutions, here-documents and `case` as POSIX describes them.
//! It is not a shell parser: everything else is read as plain words.

use crate::substitute::{Piece, Use, pieces};

/// A `${...}` at a place with a catch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caught {
    pub used: Use,
    pub catch: Catch,
}

/// The catch of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Catch {
    /// In single quotes: the shell expands nothing there.
    SingleQuotes,
    /// In a here-document whose delimiter is quoted: the shell expands nothing there.
    HereDocument,
    /// After a backslash, which escapes the `$`.
    Backslash,
    /// Within `$((...))`: the shell computes with the value.
    Arithmetic,
    /// Right after `$NAME`, which inserted text would extend.
    Name(String),
    /// Right before `<` or `>`, where the shell takes a number for a file descriptor.
    Descriptor,
}

/// Every catch of a line, in order. A malformed line has none.
pub(crate) fn catches(line: &str) -> Vec<Caught> {
    let mut tokens = Vec::new();
    for piece in pieces(line) {
        match piece {
            Ok(Piece::Literal(literal)) => tokens.extend(literal.chars().map(Token::Char)),
            Ok(Piece::Use(used)) => tokens.push(Token::Use(used)),
            Err(_) => return Vec::new(),
        }
    }
    let mut scan = Scan { tokens, at: 0, frames: Vec::new(), ..Scan::default() };
    scan.word = Word::Begins { may_be_keyword: true };
    while scan.at < scan.tokens.len() {
        scan.step();
    }
    scan.found
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    Use(Use),
}

/// The constructs around a place; none means the script itself.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Frame {
    /// `(...)` or `$(...)`.
    Parentheses,
    Backticks,
    /// From `case` to `esac`: a `)` in it ends a pattern.
    Case,
    Double,
    Single,
    /// `${...}` of the shell.
    Braces,
    /// `$((...))`, with the number of open parentheses in it.
    Arithmetic(usize),
    Here(Here),
}

/// A here-document that begins at the next line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Here {
    delimiter: String,
    is_quoted: bool,
    strips_tabs: bool,
}

/// Position of the scan within a word of the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Begins { may_be_keyword: bool },
    Within,
}

#[derive(Debug)]
struct Scan {
    tokens: Vec<Token>,
    at: usize,
    frames: Vec<Frame>,
    word: Word,
    pending: Vec<Here>,
    found: Vec<Caught>,
}

impl Default for Scan {
    fn default() -> Scan {
        Scan {
            tokens: Vec::new(),
            at: 0,
            frames: Vec::new(),
            word: Word::Within,
            pending: Vec::new(),
            found: Vec::new(),
        }
    }
}

/// Words after which a command begins, as at the beginning of a line.
const BEFORE_COMMANDS: [&str; 9] = ["if", "then", "else", "elif", "while", "until", "do", "!", "{"];

impl Scan {
    fn step(&mut self) {
        match self.frames.last() {
            Some(Frame::Single) => self.in_single(),
            Some(Frame::Here(here)) => {
                let here = here.clone();
                self.in_here(&here);
            }
            Some(Frame::Double | Frame::Braces | Frame::Arithmetic(_)) => self.in_text(),
            Some(Frame::Parentheses | Frame::Backticks | Frame::Case) | None => self.in_script(),
        }
    }

    fn char_at(&self, at: usize) -> Option<char> {
        match self.tokens.get(at) {
            Some(Token::Char(c)) => Some(*c),
            Some(Token::Use(_)) | None => None,
        }
    }

    fn follows(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(n, c)| self.char_at(self.at + n) == Some(c))
    }

    fn catch(&mut self, used: Use, catch: Catch) {
        self.found.push(Caught { used, catch });
    }

    fn in_single(&mut self) {
        match self.tokens[self.at].clone() {
            Token::Char('\'') => {
                self.frames.pop();
            }
            Token::Char(_) => {}
            Token::Use(used) => self.catch(used, Catch::SingleQuotes),
        }
        self.at += 1;
    }

    /// The body of a here-document, at whose first character the scan is or has passed.
    fn in_here(&mut self, here: &Here) {
        let is_at_line = self.at == 0 || self.char_at(self.at - 1) == Some('\n');
        if is_at_line && let Some(end) = self.end_of(here) {
            self.frames.pop();
            self.at = end;
            self.begin_document();
            return;
        }
        match self.tokens[self.at].clone() {
            Token::Use(used) if here.is_quoted => {
                self.catch(used, Catch::HereDocument);
                self.at += 1;
            }
            Token::Char(_) if here.is_quoted => self.at += 1,
            Token::Char(_) | Token::Use(_) => self.in_text(),
        }
    }

    /// End of the delimiter line, if the scan is at it.
    fn end_of(&self, here: &Here) -> Option<usize> {
        let mut at = self.at;
        while here.strips_tabs && self.char_at(at) == Some('\t') {
            at += 1;
        }
        for c in here.delimiter.chars() {
            if self.char_at(at) != Some(c) {
                return None;
            }
            at += 1;
        }
        match self.tokens.get(at) {
            None => Some(at),
            Some(Token::Char('\n')) => Some(at + 1),
            Some(Token::Char(_) | Token::Use(_)) => None,
        }
    }

    /// Handles the end of a line: the body of the next here-document begins, if there is one.
    fn begin_document(&mut self) {
        if self.pending.is_empty() {
            self.word = Word::Begins { may_be_keyword: true };
            return;
        }
        let here = self.pending.remove(0);
        self.frames.push(Frame::Here(here));
    }

    /// Text in which only `$`, backticks and backslashes are special, and its terminator.
    fn in_text(&mut self) {
        let c = match self.tokens[self.at].clone() {
            Token::Use(used) => return self.use_in_text(used),
            Token::Char(c) => c,
        };
        let top = self.frames.last().cloned();
        let is_in_double = self.frames.iter().rev().skip(1).any(|f| *f == Frame::Double);
        match (c, &top) {
            ('\\', _) => return self.backslash(),
            ('"', Some(Frame::Double)) | ('}', Some(Frame::Braces)) => {
                self.frames.pop();
            }
            ('"', Some(Frame::Braces)) => self.frames.push(Frame::Double),
            ('\'', Some(Frame::Braces)) if !is_in_double => self.frames.push(Frame::Single),
            ('(', Some(Frame::Arithmetic(open))) => self.set_open(open + 1),
            (')', Some(Frame::Arithmetic(0))) => {
                self.frames.pop();
                self.at += usize::from(self.char_at(self.at + 1) == Some(')'));
            }
            (')', Some(Frame::Arithmetic(open))) => self.set_open(open - 1),
            ('`', _) => return self.backtick(),
            ('$', _) => return self.dollar(),
            _ => {}
        }
        self.at += 1;
    }

    fn set_open(&mut self, open: usize) {
        if let Some(top) = self.frames.last_mut() {
            *top = Frame::Arithmetic(open);
        }
    }

    fn use_in_text(&mut self, used: Use) {
        if self.frames.iter().any(|f| matches!(f, Frame::Arithmetic(_))) {
            self.catch(used, Catch::Arithmetic);
        } else if let Some(name) = self.name_before() {
            self.catch(used, Catch::Name(name));
        }
        self.at += 1;
    }

    /// A backslash and the character that it escapes.
    fn backslash(&mut self) {
        if let Some(Token::Use(used)) = self.tokens.get(self.at + 1).cloned() {
            self.catch(used, Catch::Backslash);
        }
        self.at += 2;
    }

    fn backtick(&mut self) {
        // Constructs opened within the backticks end with them, as the shell reads the backticks
        // first.
        match self.frames.iter().rposition(|f| *f == Frame::Backticks) {
            Some(open) => self.frames.truncate(open),
            None => {
                self.frames.push(Frame::Backticks);
                self.word = Word::Begins { may_be_keyword: true };
            }
        }
        self.at += 1;
    }

    fn dollar(&mut self) {
        if self.follows("$((") {
            self.frames.push(Frame::Arithmetic(0));
            self.at += 3;
        } else if self.follows("$(") {
            self.frames.push(Frame::Parentheses);
            self.word = Word::Begins { may_be_keyword: true };
            self.at += 2;
        } else if self.follows("${") {
            self.frames.push(Frame::Braces);
            self.at += 2;
        } else {
            self.at += 1;
        }
    }

    fn in_script(&mut self) {
        let c = match self.tokens[self.at].clone() {
            Token::Use(used) => return self.use_in_script(used),
            Token::Char(c) => c,
        };
        let word = std::mem::replace(&mut self.word, Word::Within);
        match c {
            '\\' => return self.backslash(),
            '\'' => self.frames.push(Frame::Single),
            '"' => self.frames.push(Frame::Double),
            '`' => return self.backtick(),
            '$' => return self.dollar(),
            '#' if matches!(word, Word::Begins { .. }) => return self.comment(),
            '<' if self.follows("<<") && !self.follows("<<<") => return self.here_operator(),
            '\n' => {
                self.at += 1;
                return self.begin_document();
            }
            ' ' | '\t' => {
                let may_be_keyword = matches!(word, Word::Begins { may_be_keyword: true });
                self.word = Word::Begins { may_be_keyword };
            }
            ';' | '&' | '|' => self.word = Word::Begins { may_be_keyword: true },
            '(' => {
                self.frames.push(Frame::Parentheses);
                self.word = Word::Begins { may_be_keyword: true };
            }
            ')' => {
                if self.frames.last() == Some(&Frame::Parentheses) {
                    self.frames.pop();
                }
                self.word = Word::Begins { may_be_keyword: true };
            }
            '<' | '>' => self.word = Word::Begins { may_be_keyword: false },
            _ if word == (Word::Begins { may_be_keyword: true }) => return self.keyword(),
            _ => {}
        }
        self.at += 1;
    }

    fn use_in_script(&mut self, used: Use) {
        let begins = matches!(self.word, Word::Begins { .. });
        let before_operator = matches!(self.char_at(self.at + 1), Some('<' | '>'));
        if self.frames.iter().any(|f| matches!(f, Frame::Arithmetic(_))) {
            self.catch(used, Catch::Arithmetic);
        } else if let Some(name) = self.name_before() {
            self.catch(used, Catch::Name(name));
        } else if begins && before_operator {
            self.catch(used, Catch::Descriptor);
        }
        self.word = Word::Within;
        self.at += 1;
    }

    fn comment(&mut self) {
        let ends = |token: &Token| *token == Token::Char('\n');
        let len = self.tokens[self.at..].iter().position(ends);
        self.at = len.map_or(self.tokens.len(), |len| self.at + len);
    }

    /// The first word of a command.
    fn keyword(&mut self) {
        let mut word = String::new();
        while let Some(c) = self.char_at(self.at + word.chars().count())
            && !c.is_whitespace()
            && !"'\"`\\$&|;()<>".contains(c)
        {
            word.push(c);
        }
        self.at += word.chars().count().max(1);
        match word.as_str() {
            "case" => self.frames.push(Frame::Case),
            "esac" if self.frames.last() == Some(&Frame::Case) => {
                self.frames.pop();
            }
            _ => {}
        }
        let goes_on = BEFORE_COMMANDS.contains(&word.as_str());
        let ends = matches!(self.char_at(self.at), Some(c) if c.is_whitespace());
        self.word = match goes_on && ends {
            true => Word::Begins { may_be_keyword: true },
            false => Word::Within,
        };
    }

    /// `<<` or `<<-`, and the delimiter after it.
    fn here_operator(&mut self) {
        self.at += 2;
        let strips_tabs = self.char_at(self.at) == Some('-');
        self.at += usize::from(strips_tabs);
        while matches!(self.char_at(self.at), Some(' ' | '\t')) {
            self.at += 1;
        }
        let mut here = Here { delimiter: String::new(), is_quoted: false, strips_tabs };
        let mut quote = None;
        while let Some(c) = self.char_at(self.at) {
            match (c, quote) {
                ('\'' | '"', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                ('\\', None) => {
                    here.is_quoted = true;
                    self.at += 1;
                    here.delimiter.extend(self.char_at(self.at));
                }
                (c, None) if c.is_whitespace() || "&|;()<>".contains(c) => break,
                (c, _) => here.delimiter.push(c),
            }
            here.is_quoted |= quote.is_some();
            self.at += 1;
        }
        self.word = Word::Within;
        self.pending.push(here);
    }

    /// The shell variable immediately before, without braces.
    fn name_before(&self) -> Option<String> {
        let is_part = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        let before = (0..self.at).rev().map_while(|at| self.char_at(at).filter(is_part));
        let name: String = before.collect::<Vec<_>>().into_iter().rev().collect();
        let start = self.at.checked_sub(name.len() + 1)?;
        let escaped = start > 0 && self.char_at(start - 1) == Some('\\');
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        (is_name && self.char_at(start) == Some('$') && !escaped).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Vec<(String, Catch)> {
        catches(line).into_iter().map(|caught| (caught.used.name, caught.catch)).collect()
    }

    /// Where only uses of `x` have a catch, and it is this one.
    fn check(line: &str, catch: Catch) {
        let wanted = line.matches("${x}").count();
        assert_eq!(found(line), vec![("x".to_owned(), catch); wanted], "{line}");
    }

    fn fine(line: &str) {
        assert_eq!(found(line), [], "{line}");
    }

    #[test]
    fn single_quotes_are_found_wherever_they_are_quotes() {
        for line in [
            "echo '${x}' ${a}",
            "echo \"${a}\" 'b ${x}'\"${a}\"",
            "# don't\necho \"${a}\"; echo '${x}'",
            "printf %s \"$(printf %s '${x}')\" \"${a}\"",
            "printf %s \"`printf %s '${x}'`\" \"${a}\"",
            "echo $(case a in a) echo '${x}';; esac) \"${a}\"",
            "cat <<EOF\n'${a}' $(echo '${x}')\nEOF\necho \"${a}\" '${x}'",
            "echo $${HOME:-'${x}'} ${a}",
            "echo case of; echo $(echo '${x}') \"${a}\"",
            "if true; then case $v in (a) echo '${x}' ;; esac; fi; echo ${a}",
        ] {
            check(line, Catch::SingleQuotes);
        }
    }

    #[test]
    fn an_apostrophe_that_is_no_quote_is_passed_over() {
        for line in [
            "# don't\necho ${a}",
            "echo \"don't\" ${a}",
            "echo don\\'t ${a}",
            "echo a#'b' ${a}",
            "cat <<EOF\ndon't ${a}\nEOF\necho \"${a}\"",
            "cat <<-EOF\n\tdon't ${a}\n\tEOF\necho ${a}",
            "cat <<A <<B\nit's ${a}\nA\nisn't ${a}\nB\necho ${a}",
            "echo \"$(echo \"it's\" \"${a}\") ${a}\"",
            "echo \"$${HOME:-it's} ${a}\" ${a}",
            "echo $((1 + 2)) ${a}",
            "case ${a} in ${a}) echo ${a} ;; esac; (echo ${a})",
        ] {
            fine(line);
        }
    }

    #[test]
    fn a_quoted_here_document_is_found_and_its_end_too() {
        for quoted in ["'EOF'", "\"EOF\"", "\\EOF", "E'O'F"] {
            let line = format!("cat <<{quoted}\n${{x}} it's\nEOF\necho ${{a}} \"${{a}}\"");
            check(&line, Catch::HereDocument);
        }
        check("cat <<-'EOF'; echo ${a}\n\t${x}\n\tEOF\necho ${a}", Catch::HereDocument);
    }

    #[test]
    fn what_takes_the_dollar_away_or_computes_is_found() {
        check("echo \\${x} \\\\${a}", Catch::Backslash);
        check("echo \"\\${x} \\\\${a}\"", Catch::Backslash);
        check("echo $((${x} + (1))) ${a}", Catch::Arithmetic);
        check("echo \"$(( (1) + ${x} ))\" ${a}", Catch::Arithmetic);
    }

    #[test]
    fn what_a_text_would_be_glued_to_is_found() {
        check("echo $HOME${x} $HOME/${a} $1${a} $${HOME}${a}", Catch::Name("HOME".to_owned()));
        check("echo \"$a_1${x}\" '$HOME' \\$HOME${a}", Catch::Name("a_1".to_owned()));
        check("echo ${x}>f ${a} >f ${a}b>f a${a}>f", Catch::Descriptor);
    }
}
