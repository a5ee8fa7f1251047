// Package logs writes and reads the log of one container: everything it printed, once, in order, told apart by stream.
//
// A log is two files in the container's directory. "log" holds the bytes and nothing else. "index" holds records of 16
// bytes, {time, stream and offset}, each saying that the log's bytes from that offset on, up to the next record's
// offset, came from that stream, and when the first of them did. The rules that make the two survive kill -9 of their
// writer at any instant, without a repair step:
//
//   - The record is written first, then the bytes are spliced from the pipe into the file. A record without bytes is
//     an extent of length nothing. Bytes without a record cannot be.
//   - splice(2) moves bytes: what is not yet in the log is still in the pipe, for the next writer. (read and write keep
//     them in the writer's memory meanwhile, which dies with it.)
//
// A reader takes the log's size before it reads the index: all bytes below that size then have their record. What a
// reader has seen never changes, the files only grow. Rotation, when it comes, renames both files together ("log.1",
// "index.1"), so that offsets in an index are always those of its own log, and an open reader keeps its segment.
//
// There is one writer, the monitor. A log that cannot be written costs its container nothing but the log: see
// Writer.Drop.
package logs
