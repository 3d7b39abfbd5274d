namespace EventVault.Storage.Index;

/// <summary>An operation id (16 bytes, as a big-endian number) and the group that holds its append.</summary>
internal readonly record struct OperationEntry(UInt128 Id, Place Place)
{
    public const int IdLengthBytes = 16;

    /// <summary>The entry for an id's bytes.</summary>
    public static OperationEntry Create(ReadOnlySpan<byte> id, Place place)
    {
        Invariant.Check(id.Length == IdLengthBytes);
        return new OperationEntry(System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(id), place);
    }
}
