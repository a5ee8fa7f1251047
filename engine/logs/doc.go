// Package logs writes and reads the log of one container: everything it printed, once, in order, told apart by stream.
//
// A log is a row of segments in the container's directory, numbered from 0 on, each of two files. "log" holds the bytes
// and nothing else. "index" holds records of 16 bytes, {time, stream and offset}, each saying that the log's bytes from
// that offset on, up to the next record's offset, came from that stream, and when the first of them did. Segment 0 is
// log and index, segment N is log.N and index.N: a file's name never changes, so there is nothing to rename and nothing
// to get half done. The rules that make all that survive kill -9 of the writer at any instant, without a repair step:
//
//   - The record is written first, then the bytes are spliced from the pipe into the file. A record without bytes is
//     an extent of length nothing. Bytes without a record cannot be.
//   - splice(2) moves bytes: what is not yet in the log is still in the pipe, for the next writer. (read and write keep
//     them in the writer's memory meanwhile, which dies with it.)
//   - A segment that is as large as Bounds allow is left for a new one, whose files are made first, the index before the
//     log. Once a log of a higher number is there, nothing is ever added to a lower one.
//   - The oldest segments are removed afterwards (Trim), the log before the index. What a kill leaves of that, the next
//     Trim takes.
//
// A finished segment's index ends with a seal, by which its streams' lengths are known without reading the rest. It is
// there for speed alone: without one they are counted.
//
// A reader looks for a further segment before it takes the size of the last, and takes a log's size before it reads the
// index: all bytes below that size then have their record. What a reader has seen never changes, files only grow, and
// offsets are those of the first segment that was there when it began, whatever is removed since. So that the disk is
// bounded too, it does not hold what was removed for ever: see Log.
//
// There is one writer, the monitor. A log that cannot be written costs its container nothing but the log: see
// Writer.Drop.
package logs
