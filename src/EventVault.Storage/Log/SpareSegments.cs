// Prepares the next segment's file in the background: 256 MiB of zeros in written disk blocks, so that an append never
// waits for the file system to find room, and a full disk shows here, where appends can still be refused.
using EventVault.Storage.Io;

namespace EventVault.Storage.Log;

internal enum SpareState
{
    Preparing,
    Ready,
    Full,
}

/// <summary>A prepared file: all zeros, flushed, not yet part of the log.</summary>
internal sealed record SpareSegment(string Path, IFile File, MappedFile Mapping);

internal sealed class SpareSegments(IFileSystem files, string logDirectory, uint sizeBytes)
{
    private const string Suffix = ".tmp";

    /// <summary>Kept free for indexes and the node's own files when a segment is prepared.</summary>
    private const long ReserveBytes = 64L * 1024 * 1024;

    /// <summary>Bytes zeroed between two pauses, so that preparing doesn't crowd out the flushes of appends.</summary>
    private const int StepBytes = 1024 * 1024;

    private volatile SpareSegment? _ready;
    private volatile bool _full;
    private long _zeroed;
    private int _number;
    private IFile? _unfinished;

    public SpareState State => _ready is not null ? SpareState.Ready : _full ? SpareState.Full : SpareState.Preparing;

    // A name of its own for each: the one handed out before may not have been renamed yet.
    private string CurrentPath => Path.Combine(logDirectory, $"spare{_number}{Suffix}");

    /// <summary>
    /// What is kept free beside a segment: less than the reserve only on disks too small for it. Bytes.
    /// </summary>
    public static long Reserve(uint sizeBytes) => Math.Min(ReserveBytes, sizeBytes);

    /// <summary>Hands out the prepared segment. Sequencer only; <see cref="State"/> is Ready.</summary>
    public SpareSegment Take()
    {
        var spare = _ready;
        Invariant.Check(spare is not null);
        _ready = null;
        return spare;
    }

    /// <summary>Does a step of preparation; false if there is nothing to do. One background thread.</summary>
    /// <exception cref="DiskException">Any failure but a full disk.</exception>
    public bool Step()
    {
        if (_ready is not null)
        {
            return false;
        }

        try
        {
            if (_unfinished is null)
            {
                if (files.FreeBytes(logDirectory) < sizeBytes + Reserve(sizeBytes))
                {
                    _full = true;
                    return false;
                }

                _number++;
                _unfinished = files.OpenFile(CurrentPath, FileOpening.New);
                _zeroed = 0;
            }

            if (_zeroed < sizeBytes)
            {
                var length = (int)Math.Min(StepBytes, sizeBytes - _zeroed);
                _unfinished.WriteZeros(_zeroed, length);
                _zeroed += length;
                return true;
            }

            // LogWriter gives it its segment's name, once its header is flushed: under that name it is never half made.
            _unfinished.Flush();
            _full = false;
            _ready = new SpareSegment(CurrentPath, _unfinished, _unfinished.Map(sizeBytes, MappedAccess.Random));
            _unfinished = null;
            return true;
        }
        catch (DiskException e) when (e.IsFull)
        {
            Discard();
            _full = true;
            return false;
        }
    }

    /// <summary>Removes what an earlier run left behind.</summary>
    public void Clean()
    {
        foreach (var name in files.ListFiles(logDirectory))
        {
            if (name.EndsWith(Suffix, StringComparison.Ordinal))
            {
                files.DeleteFile(Path.Combine(logDirectory, name));
            }
        }
    }

    /// <summary>Closes the files. The prepared one is made anew at the next start.</summary>
    public void Close()
    {
        Discard();
        if (_ready is { } spare)
        {
            spare.Mapping.Dispose();
            spare.File.Dispose();
            files.DeleteFile(spare.Path);
            _ready = null;
        }
    }

    private void Discard()
    {
        if (_unfinished is not null)
        {
            _unfinished.Dispose();
            _unfinished = null;
            files.DeleteFile(CurrentPath);
        }
    }
}
