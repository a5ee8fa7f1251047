// Package volume keeps volumes: directories of containers' data that outlive the containers. It knows containers by
// their IDs only, as whoever uses a volume.
//
// # On disk
//
//	volumes/<name>/volume.json  whose it is, when and what for it was made
//	volumes/<name>/data/        the files, with owners 0 to 65535 as they are in containers; each mounts it id-mapped
//	volumes/<name>/seed-…       a copy of an image's files that is to become data
//	volumes/.new-…              a creation that has not been committed
//	volumes/.gone-…             a removal whose files are still being deleted
//
// Everything lies below a directory that only root may enter: a file in data with the set-user-ID bit, or owned by
// somebody's number, means nothing to the host.
//
// Four system calls commit everything, each of which happens or does not: the rename from .new-… makes a volume, the
// rename of seed-… onto an empty data fills it, the rmdir of data (which fails if there is anything in it) or the rename
// to .gone-… removes it. [Open] finishes or undoes what lies between: a volume without data is a removal.
//
// # Locks
//
// Store.mu guards the maps, and nothing is asked of the disk under it: whatever hangs there, the volumes can be listed.
// Before it come two of each volume: held.gate, for whoever looks whether the volume is empty and fills it, which may take
// as long as a copy does, and then held.door, for single system calls on its directory.
package volume
