//! Whether a binlog file is still the one that was captured.
//!
//! Servers write to no file any more once they were started anew, and a file's format description event
//! says when the file was made. So a place in a file of the same name and birth has everything before it
//! as it was. A server that was set back to an older state makes files of the same names again, and after
//! a while even its positions and GTIDs look familiar; their birth does not.

/// How many files are remembered: those that a capture may come back to.
const REMEMBERED: usize = 16;

/// One binlog file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogFile {
    /// SCN epoch: which server's.
    pub epoch: u32,
    /// Number at the end of its name.
    pub log_index: u32,
    /// When the server made it, in seconds since 1970.
    pub made_s: u32,
}

/// The files that were captured last, and whether their server lost any of what was captured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFiles {
    /// The newest at the end.
    files: Vec<LogFile>,
    /// The epoch whose server was seen to lack what was captured of it.
    lost: Option<u32>,
}

/// A file of this name was captured, and it was another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaced;

impl LogFiles {
    /// Takes note of a file before anything in it is captured; true: it was not known.
    ///
    /// # Errors
    /// Another file of that name was captured from that server.
    pub fn note(&mut self, file: LogFile) -> Result<bool, Replaced> {
        let same = |known: &&LogFile| (known.epoch, known.log_index) == (file.epoch, file.log_index);
        match self.files.iter().find(same) {
            Some(known) if known.made_s != file.made_s => Err(Replaced),
            Some(_) => Ok(false),
            None => {
                self.push(file);
                Ok(true)
            }
        }
    }

    /// In the order of [`note`](LogFiles::note).
    pub fn iter(&self) -> impl ExactSizeIterator<Item = LogFile> + '_ {
        self.files.iter().copied()
    }

    /// Remembers that the epoch's server lacks what was captured of it: soon it gives the numbers that it
    /// lost to other transactions.
    pub fn lose(&mut self, epoch: u32) {
        self.lost = Some(epoch);
    }

    /// The epoch that was [lost](LogFiles::lose) last.
    pub fn lost(&self) -> Option<u32> {
        self.lost
    }

    fn push(&mut self, file: LogFile) {
        if self.files.len() == REMEMBERED {
            self.files.remove(0);
        }
        self.files.push(file);
    }
}

impl FromIterator<LogFile> for LogFiles {
    fn from_iter<T: IntoIterator<Item = LogFile>>(files: T) -> LogFiles {
        let mut all = LogFiles::default();
        files.into_iter().for_each(|file| all.push(file));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(epoch: u32, log_index: u32, made_s: u32) -> LogFile {
        LogFile { epoch, log_index, made_s }
    }

    #[test]
    fn a_file_is_known_by_its_birth() {
        let mut files = LogFiles::default();
        assert_eq!(files.note(file(1, 7, 100)), Ok(true));
        assert_eq!(files.note(file(1, 7, 100)), Ok(false));
        assert_eq!(files.note(file(1, 8, 200)), Ok(true));
        assert_eq!(files.note(file(1, 7, 100)), Ok(false), "its rest is read after a reconnect");
        assert_eq!(files.note(file(1, 8, 201)), Err(Replaced));
        assert_eq!(files.note(file(1, 8, 199)), Err(Replaced), "a clock that was set back as well");
        assert_eq!(files.note(file(2, 8, 201)), Ok(true), "another server's");
    }

    #[test]
    fn only_the_newest_are_remembered_and_they_are_read_back_as_they_were() {
        let mut files = LogFiles::default();
        for index in 1..=40 {
            assert_eq!(files.note(file(1, index, index)), Ok(true));
        }
        assert_eq!(files.iter().len(), REMEMBERED);
        assert_eq!(files.iter().last(), Some(file(1, 40, 40)));
        assert_eq!(files.note(file(1, 1, 9)), Ok(true), "forgotten");
        assert_eq!(files.iter().collect::<LogFiles>(), files);
    }
}
