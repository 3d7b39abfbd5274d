using System.Buffers;

namespace EventVault.Storage.Index;

/// <summary>Arrays in which a segment's operation ids are put in order.</summary>
/// <remarks>
/// Rented for a whole segment, although its ids may go to two files: the next segment asks the pool for about as much again, whereas parts come in every
/// size, so that each had to be made, and was let go before it was asked for again.
/// </remarks>
internal sealed class OperationsRoom(int count) : IDisposable
{
    /// <summary>Bucket and number of each.</summary>
    public ulong[] Order { get; } = ArrayPool<ulong>.Shared.Rent(count);

    /// <summary>Beside them, for sorting.</summary>
    public ulong[] Spare { get; } = ArrayPool<ulong>.Shared.Rent(count);

    /// <summary>What is written of each, by its number.</summary>
    public (ulong Fingerprint, Place Place)[] Entries { get; } = ArrayPool<(ulong, Place)>.Shared.Rent(count);

    public void Dispose()
    {
        ArrayPool<ulong>.Shared.Return(Order);
        ArrayPool<ulong>.Shared.Return(Spare);
        ArrayPool<(ulong, Place)>.Shared.Return(Entries);
    }
}
