// One run of a backup: lists what a node has, and takes segment by segment, in the order of the log, until what was taken is a state that the vault was
// in. Ends where the log was committed when it listed, so it ends however fast others append; only a scavenge on the way makes it list again.
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Shipping;

namespace EventVault.Storage.Backups;

/// <summary>Where a run gets its segments from: a node, over the network or in the same process.</summary>
/// <param name="List">All segments from a number on, as <see cref="BackupSource.List"/> gives them, to the end of what is committed.</param>
/// <param name="Read">Adds a segment's bytes to the folder, from an offset to its end; false: the node has it in another form now.</param>
public sealed record BackupOrigin(Func<uint, Task<IReadOnlyList<ShippedSegment>>> List, Func<ShippedSegment, long, Task<bool>> Read);

/// <summary>Runs backups.</summary>
public static class BackupRun
{
    /// <summary>A scavenge needs a flush from the file to the list: no reason to list thousands of times meanwhile.</summary>
    private static readonly TimeSpan UntilListedAnew = TimeSpan.FromMilliseconds(50);

    /// <summary>So often a node may list a segment in a form that it does not have: half a minute at the least, as a busy disk may take seconds for that flush.</summary>
    private const int UsualTries = 600;

    /// <summary>Makes a backup.</summary>
    /// <param name="folder">Just opened.</param>
    /// <param name="origin">Whose log.</param>
    /// <param name="begunAt">The clock, 100 ns ticks since 1970, before anything was listed.</param>
    /// <param name="progress">Told of bytes that are there and in all, behind each segment.</param>
    /// <param name="tries">How often in a row the node may list a segment in a form that it does not have, 50 ms apart.</param>
    /// <exception cref="BackupException">The node can't follow the backup before.</exception>
    /// <exception cref="DamageException">What the node has is damaged, or the backup's disk changes what it is given.</exception>
    /// <exception cref="DiskException">The disk failed, or is full.</exception>
    public static async Task<BackupContent> RunAsync(BackupFolder folder, BackupOrigin origin, long begunAt, Action<long, long>? progress = null, int tries = UsualTries)
    {
        ArgumentNullException.ThrowIfNull(folder);
        ArgumentNullException.ThrowIfNull(origin);
        var done = 0L;
        (ShippedSegment? Segment, int Times) missing = (null, 0);
        do
        {
            folder.DropUnsealed(); // Of an earlier round, whose end was not far enough.
            var first = folder.Next;
            var listed = await origin.List(first).ConfigureAwait(false);
            if (first == 0)
            {
                folder.RequireFollows(listed);
            }

            var all = done + listed.Sum(segment => segment.LengthBytes);
            foreach (var segment in listed)
            {
                if (!folder.TryKeep(segment) && !await TakeAsync(folder, origin, segment).ConfigureAwait(false))
                {
                    missing = (segment, segment == missing.Segment ? missing.Times + 1 : 1);
                    if (missing.Times >= tries)
                    {
                        throw new DamageException(
                            SegmentHeader.FileName(segment.Segment), 0, "The node lists this segment in another form than it has on its disk.",
                            "A scavenge hangs there, or somebody has put another file in its place. Try again; if it stays so, back up from another node, and restart this one or put the right file back. The backup before is as it was.");
                    }

                    await Task.Delay(UntilListedAnew).ConfigureAwait(false);
                    break;
                }

                done += segment.LengthBytes;
                progress?.Invoke(done, all);
            }
        }
        while (!folder.EndsUnsealed || !folder.IsWhole);
        return folder.Complete(begunAt);
    }

    // False: it was scavenged since it was listed.
    private static async Task<bool> TakeAsync(BackupFolder folder, BackupOrigin origin, ShippedSegment segment)
    {
        // What an earlier run left of it may be torn, or of another log: that shows when all of it is there, and then all is read anew.
        for (var isFresh = false; ; isFresh = true)
        {
            var offset = folder.BeginPart(segment, isFresh);
            if (folder.Missing > 0 && !await origin.Read(segment, offset).ConfigureAwait(false))
            {
                folder.EndPart();
                return false;
            }

            if (folder.Finish() is not { } damage)
            {
                return true;
            }

            if (offset == 0)
            {
                throw new DamageException(
                    damage.File, damage.Offset, damage.Expected, "So the node gave it, or the backup's disk wrote it: vault-admin cluster status names damaged segments of nodes. Back up from another one. The backup before is as it was.");
            }
        }
    }
}
