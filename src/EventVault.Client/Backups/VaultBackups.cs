using System.Runtime.CompilerServices;
using Google.Protobuf;

namespace EventVault.Client;

/// <summary>
/// What a backup is made of: <see cref="VaultClient.Backups"/>. Asks the node that the client's address names first and no other, leader or not: who makes
/// a backup chooses which node has the work. What a segment is, and how it is kept, is the business of whoever makes the backup: <c>vault-admin backup</c>. Thread-safe.
/// </summary>
public sealed class VaultBackups
{
    private readonly VaultCalls _calls;
    private readonly StreamedCalls _streamed;

    internal VaultBackups(VaultCalls calls, StreamedCalls streamed) => (_calls, _streamed) = (calls, streamed);

    /// <summary>All that the node has committed, as segments. The node reads those that it still writes to, which takes a while.</summary>
    /// <param name="from">First segment wanted.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="VaultException">A call failed.</exception>
    public async Task<BackupListing> ListAsync(uint from = 0, CancellationToken cancellationToken = default)
    {
        var segments = new List<ReadOnlyMemory<byte>>();
        while (true)
        {
            var request = new Protocol.ListBackupRequest { FromSegment = from + (uint)segments.Count };
            Protocol.ListBackupResponse page = await _calls.ReadAsync(VaultMethods.ListBackup, request, cancellationToken).ConfigureAwait(false);
            segments.AddRange(page.Segments.Select(static s => s.Memory));
            if (page.IsEnd)
            {
                return new BackupListing(page.Vault.Memory, segments);
            }

            if (page.Segments.Count == 0)
            {
                throw VaultErrors.ProtocolViolation("a page without a segment is followed by another one");
            }
        }
    }

    /// <summary>Bytes of a segment, from an offset to its end; what fails in passing is asked for again, where it was cut.</summary>
    /// <param name="segment">As <see cref="ListAsync"/> gave it.</param>
    /// <param name="offset">Where they begin, in bytes; less than the segment's length.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <returns>Its bytes, piece by piece; an empty piece, and nothing behind it: the node has the segment in another form now, list again.</returns>
    /// <exception cref="VaultException">It failed, and trying again did not help or makes no sense.</exception>
    public async IAsyncEnumerable<ReadOnlyMemory<byte>> ReadAsync(ReadOnlyMemory<byte> segment, long offset = 0, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ByteString description = ByteString.CopyFrom(segment.Span);
        IAsyncEnumerable<ReadOnlyMemory<byte>> messages = _streamed.RunAsync(VaultMethods.ReadBackup, _ => new Protocol.ReadBackupRequest { Segment = description, Offset = (ulong)offset }, default, cancellationToken);
        await foreach (ReadOnlyMemory<byte> message in messages.ConfigureAwait(false))
        {
            Protocol.ReadBackupResponse piece = StreamedCalls.Parse(Protocol.ReadBackupResponse.Parser, message);
            if (piece.Changed)
            {
                yield return default;
                yield break;
            }

            offset += piece.Data.Length;
            yield return piece.Data.Memory;
        }
    }
}
