// The least that an append must do on this machine: the throwaway prototype behind the aims for appends in process, built again so that they can
// be held against it in the same run. Like that one it has a queue without locks, one writer thread, a version per stream, a checksum per record,
// whole blocks into space that was zeroed before, one checked flush a group, and one thread-pool item that tells all of its callers. Unlike the
// vault it finds no repeated append, keeps no index, seals nothing, and checks no request.
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Threading.Tasks.Sources;
using EventVault.Storage;
using EventVault.Storage.Io;

namespace EventVault.Benchmarks;

/// <summary>Group commit and nothing else.</summary>
internal sealed class GroupCommitAnchor : IDisposable
{
    private const int HeaderBytes = 48;
    private const int Block = 4096;
    private const long FileBytes = 64L << 20;
    private const int FilesASecond = 4;
    private const int MostFiles = 16; // Zeroed ahead; behind them it begins at the first one again.

    private readonly string _folder;
    private readonly IFile[] _files;
    private readonly Thread _thread;
    private readonly ManualResetEventSlim _wake = new(initialState: false, spinCount: 0);
    private readonly Dictionary<int, long> _versions = [];
    private readonly byte[] _bytes;
    private Append? _queue;
    private int _parked;
    private volatile bool _stopping;

    private GroupCommitAnchor(string folder, int fileCount, int mostGroupBytes)
    {
        _folder = folder;
        _files = new IFile[fileCount];
        _bytes = new byte[mostGroupBytes + (2 * Block)];
        Directory.CreateDirectory(folder);
        var files = new NativeFileSystem();
        for (var i = 0; i < fileCount; i++)
        {
            _files[i] = files.OpenFile(Path.Combine(folder, $"{i}"), FileOpening.New);
            _files[i].WriteZeros(0, FileBytes);
            _files[i].Flush();
        }

        _thread = new Thread(Write) { Name = "group commit", IsBackground = true };
    }

    public static async Task<Measured> AppendAsync(string directory, int appenders, int payloadBytes, TimeSpan warmUp, TimeSpan length)
    {
        var fileCount = Math.Clamp((int)Math.Ceiling((warmUp + length).TotalSeconds * FilesASecond), 1, MostFiles);
        using var anchor = new GroupCommitAnchor(Path.Combine(directory, "group-commit"), fileCount, appenders * (HeaderBytes + payloadBytes));
        anchor._thread.Start();
        return await Measure.WorkersAsync<long>(appenders, warmUp, length, worker =>
        {
            var append = new Append(worker, new byte[payloadBytes]);
            return () => anchor.AppendAsync(append);
        }, static _ => { });
    }

    public void Dispose()
    {
        _stopping = true;
        _wake.Set();
        _thread.Join();
        foreach (var file in _files)
        {
            file.Dispose();
        }

        Directory.Delete(_folder, recursive: true);
    }

    private ValueTask<long> AppendAsync(Append append)
    {
        append.Source.Reset();
        var result = new ValueTask<long>(append, append.Source.Version);
        var head = Volatile.Read(ref _queue);
        while (true)
        {
            append.Next = head;
            var before = Interlocked.CompareExchange(ref _queue, append, head);
            if (before == head)
            {
                break;
            }

            head = before;
        }

        if (Volatile.Read(ref _parked) != 0 && Interlocked.Exchange(ref _parked, 0) != 0)
        {
            _wake.Set();
        }

        return result;
    }

    private void Write()
    {
        long at = 0;
        var used = 0; // Bytes of the block that the last group ended in, at the beginning of the buffer.
        while (!_stopping)
        {
            if (Interlocked.Exchange(ref _queue, null) is not { } newest)
            {
                Park();
                continue;
            }

            Append? oldest = null;
            while (newest is not null)
            {
                (newest.Next, oldest, newest) = (oldest, newest, newest.Next);
            }

            var group = new Group(oldest!);
            var end = used;
            for (var append = oldest; append is not null; append = append.Next)
            {
                end = Encode(append, end);
            }

            var whole = (end + Block - 1) / Block * Block;
            _bytes.AsSpan(end, whole - end).Clear();
            if ((at % FileBytes) + whole > FileBytes)
            {
                at = ((at / FileBytes) + 1) * FileBytes;
            }

            var file = _files[at / FileBytes % _files.Length];
            file.Write(at % FileBytes, _bytes.AsSpan(0, whole));
            file.Flush();
            ThreadPool.UnsafeQueueUserWorkItem(group, preferLocal: false);
            var full = end / Block * Block;
            _bytes.AsSpan(full, end - full).CopyTo(_bytes);
            (at, used) = (at + full, end - full);
        }
    }

    private int Encode(Append append, int at)
    {
        ref var version = ref CollectionsMarshal.GetValueRefOrAddDefault(_versions, append.Stream, out _);
        append.Version = version++;
        var record = _bytes.AsSpan(at, HeaderBytes + append.Payload.Length);
        record[..HeaderBytes].Clear();
        BinaryPrimitives.WriteInt32LittleEndian(record, record.Length);
        BinaryPrimitives.WriteInt32LittleEndian(record[8..], append.Stream);
        BinaryPrimitives.WriteInt64LittleEndian(record[16..], append.Version);
        append.Payload.CopyTo(record[HeaderBytes..]);
        BinaryPrimitives.WriteUInt32LittleEndian(record[4..], Checksum.Compute(record[8..]));
        return at + record.Length;
    }

    private void Park()
    {
        _wake.Reset();
        Interlocked.Exchange(ref _parked, 1);
        if (Volatile.Read(ref _queue) is null && !_stopping)
        {
            _wake.Wait();
        }

        Volatile.Write(ref _parked, 0);
    }

    private sealed class Append(int stream, byte[] payload) : IValueTaskSource<long>
    {
        public ManualResetValueTaskSourceCore<long> Source;

        public int Stream => stream;

        public byte[] Payload => payload;

        public long Version { get; set; }

        public Append? Next { get; set; }

        public long GetResult(short token) => Source.GetResult(token);

        public ValueTaskSourceStatus GetStatus(short token) => Source.GetStatus(token);

        public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
            Source.OnCompleted(continuation, state, token, flags);
    }

    private sealed class Group(Append oldest) : IThreadPoolWorkItem
    {
        public void Execute()
        {
            for (var append = oldest; append is not null;)
            {
                var next = append.Next; // Who is told may be queued again.
                append.Source.SetResult(append.Version);
                append = next;
            }
        }
    }
}
