// Package bulkexport gets a FHIR bulk export through the queue: it begins one ($export of HL7's
// Bulk Data Access), asks until it is ready, and downloads its files to a directory or a bucket
// of a NATS object store.
//
// Every request to Redox is a REQUEST of kind fhir, so that tokens, the Source ID, the quota and
// the pauses of the workers hold for it. Only files that the server keeps on another host are
// fetched by this process, without a token, and only from hosts that [Config.AllowHosts] names.
//
// # Going on
//
// What has been reached is written beside the files, durably, after each step. Killed at any
// moment, a [Export.Run] with the same Config goes on where it was: files that are there are not
// fetched again, one that was half there is begun anew. A file appears under its name when it is
// complete. One that breaks off within a line is fetched again; one that has a line which is no JSON
// object, as a page of a gateway has, ends the export with an error.
//
// An export is begun once. The id of the message that begins it is written down before it is
// published, the queue drops it when it comes again, and its reply is kept for a day. As every
// REQUEST it is sent again by the workers when no answer came, or when the one that had it died:
// the server may then run a second export, whose address nobody knows, and which it removes when
// that expires. [Result.Warnings] says so where it may be. Where no answer was had at all, Run
// returns [ErrUnknown] from then on, and does not begin another by itself.
//
// # Rights
//
// Those of a [outbox.Publisher] with replies to an inbox and a stored one; and for answers that are too large for a NATS
// message, to read OBJ_REDOX_BODIES ($JS.API.STREAM.MSG.GET.OBJ_REDOX_BODIES), which holds bodies of all
// sources, and to purge it, without which an object stays for a day.
//
// # Memory and size
//
// This process holds no more than some 100 KB of each file under way. A worker holds an answer
// whole, as large as redox.max_answer.request allows (40 MB by default), and as many at once as
// half of bodies.memory has room for, and one beyond; others wait. An answer that is too large for a
// NATS message lies in the object store REDOX_BODIES until it was written here. A file that is larger
// ends the export with an error which names the key; what is there stays, and once the key is
// raised the same Run goes on.
//
// A file of 120 MB took 220 MB of a worker at its peak, some such files in a row 420 MB, four at
// once 530 MB (bodies.memory 256 MB), and each time 35 MB of the process that exports. GOMEMLIMIT
// of a worker has it give memory back sooner.
package bulkexport
