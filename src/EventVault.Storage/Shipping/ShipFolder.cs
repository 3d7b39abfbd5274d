// The folder ship/: segments that come from other nodes, until a start puts them in their places.
//
//   N.seg      whole: checked from end to end, behind the one before, and flushed
//   N.begin    likewise, the beginning of the last one
//   N.part     under way, as far as it is long: what comes is added at its end
//   plan       what the next start installs (ShipPlan); written last
//
// Nothing else says what is whole: after a restart files are checked again. What is part of no plan can be deleted at any time.
using System.Globalization;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;

namespace EventVault.Storage.Shipping;

/// <summary>Gathers segments for the next start. One thread, which need not be one of the storage's.</summary>
public sealed class ShipFolder
{
    /// <summary>Most segments of a plan, the beginning of the last one among them.</summary>
    public const int MostSegments = ShipPlan.MostSegments;

    internal const string Name = "ship";
    private const string WholeSuffix = ".seg";
    private const string BeginningSuffix = ".begin";
    private const string PartSuffix = ".part";

    /// <summary>Most bytes of a part that are not flushed, so that checking it does not begin with a wait for all of it.</summary>
    private const long FlushEvery = 16 * 1024 * 1024;

    private readonly VaultStorage _storage;
    private readonly int _most;
    private readonly IFileSystem _files;
    private readonly string _directory;
    private readonly List<ShippedSegment> _whole = [];
    private IFile? _part;
    private ShippedSegment _partOf;
    private long _partLength;
    private long _unflushed;
    private LogEnd _end;
    private uint _from;
    private uint? _repair;

    /// <param name="storage">Of the node that is behind.</param>
    /// <param name="most">Most segments of a plan; less in tests.</param>
    public ShipFolder(VaultStorage storage, int most = ShipPlan.MostSegments)
    {
        Invariant.Check(most is > 1 and <= ShipPlan.MostSegments);
        _most = most;
        _storage = storage;
        _files = storage.Files;
        _directory = PathIn(storage.Directory);
    }

    /// <summary>The first segment that is neither sealed here nor whole in the folder, once it was opened.</summary>
    public uint Next => _whole.Count > 0 ? _whole[^1].Segment + 1 : _repair ?? _from;

    /// <summary>Segments that are whole.</summary>
    public int WholeCount => _whole.Count;

    /// <summary>Whether a plan can't hold more sealed segments.</summary>
    public bool IsFull => _whole.Count >= _most - 1;

    private uint FirstWanted => (uint)_storage.SegmentCounts.Sealed;

    /// <summary>
    /// Looks at what an earlier run has left, checks it, and deletes what is of no use. Reads all of it; call again after a failure.
    /// </summary>
    /// <exception cref="DiskException">The disk failed.</exception>
    public void Open()
    {
        ClosePart();
        _whole.Clear();
        _files.CreateDirectory(_directory);
        _files.FlushDirectory(_storage.Directory);
        _repair = null;
        _from = FirstWanted;
        _end = _from == 0 ? LogEnd.Empty : EndOf(_storage.View.Sealed[_from - 1].Record);
        var names = _files.ListFiles(_directory);
        var useful = new HashSet<string>();
        while (!IsFull && names.Contains(FileName(Next, WholeSuffix)) && TryTakeWhole(Next))
        {
            useful.Add(FileName(Next - 1, WholeSuffix));
        }

        useful.Add(FileName(Next, PartSuffix)); // If it is of another form than what comes, it is begun anew.
        foreach (var name in names.Where(n => !useful.Contains(n)))
        {
            _files.DeleteFile(Path.Combine(_directory, name));
        }
    }

    /// <summary>
    /// As <see cref="Open"/>, to replace one sealed segment by another node's: nothing is kept of what was gathered before.
    /// </summary>
    /// <param name="segment">Its number; it is sealed here.</param>
    public void OpenForRepair(uint segment)
    {
        var view = _storage.View;
        Invariant.Check(segment < view.Sealed.Length);
        Clear();
        _repair = segment;
        _end = segment == 0 ? LogEnd.Empty : EndOf(view.Sealed[segment - 1].Record);
    }

    /// <summary>Deletes all that was gathered, a plan too: nothing of it was installed yet.</summary>
    public void Clear()
    {
        ClosePart();
        _whole.Clear();
        (_repair, _partOf) = (null, default);
        _files.CreateDirectory(_directory);
        _files.FlushDirectory(_storage.Directory);
        _files.DeleteFile(Path.Combine(_directory, ShipPlan.FileName)); // First: what it names goes.
        _files.FlushDirectory(_directory);
        foreach (var name in _files.ListFiles(_directory))
        {
            _files.DeleteFile(Path.Combine(_directory, name));
        }
    }

    /// <summary>Where a segment's bytes go on: as many are there.</summary>
    public long BeginPart(in ShippedSegment segment)
    {
        Invariant.Check(segment.Segment == Next && (_repair is null || _whole.Count == 0));
        if (_part is not null && segment == _partOf)
        {
            return _partLength;
        }

        ClosePart();
        var path = PathOf(segment.Segment, PartSuffix);
        if (_partOf != default && segment != _partOf)
        {
            _files.DeleteFile(path); // Of another form.
        }

        _part = _files.OpenFile(path, FileOpening.ExistingOrNew);
        _partOf = segment;

        // What a killed process wrote counts: it is checked when all of it is there.
        _partLength = Math.Min(_part.Length, segment.LengthBytes) & ~(long)(Blocks.Size - 1);
        return _partLength;
    }

    /// <summary>Bytes that the segment under way still lacks.</summary>
    public long Missing => _part is null ? 0 : _partOf.LengthBytes - _partLength;

    /// <summary>Adds the bytes that follow.</summary>
    /// <exception cref="DiskException">The disk failed, or is full.</exception>
    public void Add(ReadOnlySpan<byte> bytes)
    {
        Invariant.Check(_part is not null && bytes.Length <= Missing);
        _part.Write(_partLength, bytes);
        _partLength += bytes.Length;
        _unflushed += bytes.Length;
        if (_unflushed >= FlushEvery)
        {
            _part.Flush();
            _unflushed = 0;
        }
    }

    /// <summary>
    /// Checks the segment whose last byte has come, makes it durable and whole. Reads all of it.
    /// </summary>
    /// <returns>Null: it is whole. Otherwise what is wrong with it; it was deleted.</returns>
    /// <exception cref="DiskException">The disk failed, or is full.</exception>
    public string? Finish()
    {
        Invariant.Check(_part is not null && Missing == 0);
        var segment = _partOf;
        try
        {
            if (segment.Form != ShippedForm.Scavenged)
            {
                FillWithZeros(_part, segment.LengthBytes, _storage.SegmentSizeBytes);
            }

            _part.SetLength(segment.Form == ShippedForm.Scavenged ? segment.LengthBytes : _storage.SegmentSizeBytes);
            _part.Flush();
            var end = new ShippedCheck(_storage.Meta).Run(_part, segment, _end, makesOwn: true);
            _part.Flush();
            ClosePart();
            _files.MoveFile(PathOf(segment.Segment, PartSuffix), PathOf(segment));
            _files.FlushDirectory(_directory);
            (_end, _partOf) = (end, default);
            _whole.Add(segment);
            return null;
        }
        catch (Exception e) when (e is DamageException or UnsupportedFormatException)
        {
            ClosePart();
            _files.DeleteFile(PathOf(segment.Segment, PartSuffix));
            _partOf = default;
            return e.Message;
        }
    }

    /// <summary>
    /// All that is needed is there, the beginning of the last segment included: the next start puts it in its place.
    /// </summary>
    /// <exception cref="DiskException">The disk failed, or is full.</exception>
    public void WritePlan()
    {
        Invariant.Check(_repair is null && _whole.Count > 1 && _whole[^1].Form == ShippedForm.Beginning);
        new ShipPlan(_storage.VaultId, _storage.Incarnation, ShipPurpose.CatchUp, ShipState.Ready, [.. _whole]).Save(_files, _storage.Directory, _storage.Meta.ChecksumSeed);
    }

    /// <summary>The segment that is to be replaced is there: the next start puts it in its place.</summary>
    /// <exception cref="DiskException">The disk failed, or is full.</exception>
    public void WriteRepair()
    {
        Invariant.Check(_repair is not null && _whole.Count == 1 && _whole[0].Segment == _repair);
        new ShipPlan(_storage.VaultId, _storage.Incarnation, ShipPurpose.Repair, ShipState.Ready, [.. _whole]).Save(_files, _storage.Directory, _storage.Meta.ChecksumSeed);
    }

    /// <summary>The last index that the plan brings.</summary>
    public LogIndex LastIndex => _whole.Count > 0 ? _whole[^1].LastIndex : default;

    /// <summary>Ends the work without a plan; what is whole stays for the next time.</summary>
    public void Close() => ClosePart();

    internal static string PathIn(string directory) => Path.Combine(directory, Name);

    /// <summary>Where a shipped file waits.</summary>
    internal static string PathOf(string directory, in ShippedSegment segment) =>
        Path.Combine(PathIn(directory), FileName(segment.Segment, segment.Form == ShippedForm.Beginning ? BeginningSuffix : WholeSuffix));

    private static string FileName(uint segment, string suffix) => segment.ToString("D20", CultureInfo.InvariantCulture) + suffix;

    private string PathOf(uint segment, string suffix) => Path.Combine(_directory, FileName(segment, suffix));

    private string PathOf(in ShippedSegment segment) => PathOf(_storage.Directory, segment);

    private void ClosePart()
    {
        _part?.Dispose();
        _part = null;
        (_partLength, _unflushed) = (0, 0);
    }

    /// <summary>Where the log stands behind a sealed segment.</summary>
    internal static LogEnd EndOf(in CatalogEntry record) => new(
        new Place(record.Segment, record.EndOffset), record.LastGroupChecksum, record.LastLogIndex, record.LastPosition, record.LastTime, record.LastTerm);

    // A whole one of an earlier run, if it is sound and stands behind the one before. What it is it says itself.
    private bool TryTakeWhole(uint number)
    {
        try
        {
            using var file = _files.OpenFile(PathOf(number, WholeSuffix), FileOpening.ReadExisting);
            var check = new ShippedCheck(_storage.Meta);
            var segment = check.Describe(file, number);
            _end = check.Run(file, segment, _end, makesOwn: false);
            _whole.Add(segment);
            return true;
        }
        catch (Exception e) when (e is DamageException or UnsupportedFormatException)
        {
            return false;
        }
    }

    // Disk blocks that are written, as those of any segment are before a group needs them.
    internal static void FillWithZeros(IFile file, long from, uint until)
    {
        var whole = Blocks.Ceiling(from);
        if (whole > from)
        {
            file.Write(from, new byte[whole - from]);
        }

        file.WriteZeros(whole, until - whole);
    }
}
