# Keys of a file system that encrypts folders (fscrypt, policies of version 2), by the kernel's own calls:
#   fscrypt.py add MOUNT KEYFILE FOLDER    gives it the key, and has the folder, if it is empty, encrypted by that
#   fscrypt.py remove MOUNT KEYFILE        takes the key away again
# The key file, 64 bytes, is made if it is missing.
import fcntl
import os
import struct
import sys

ADD_KEY, REMOVE_KEY, SET_POLICY = 0xC0506617, 0xC0406618, 0x800C6613
BY_IDENTIFIER, NAMES_AES_CTS, CONTENT_AES_XTS, VERSION_2 = 2, 4, 1, 2

what, mount, key_file = sys.argv[1:4]
if not os.path.exists(key_file):
    with open(key_file, "wb") as file:
        file.write(os.urandom(64))
with open(key_file, "rb") as file:
    key = file.read()

# The kernel answers with the key's identifier, which the policy names. Adding a key that is there changes nothing.
volume = os.open(mount, os.O_RDONLY)
added = bytearray(struct.pack("<II32sII32s", BY_IDENTIFIER, 0, b"", len(key), 0, b"") + key)
fcntl.ioctl(volume, ADD_KEY, added)
identifier = bytes(added[8:24])
if what == "add":
    folder = os.open(sys.argv[4], os.O_RDONLY)
    fcntl.ioctl(folder, SET_POLICY, struct.pack("<BBBBB3s16s", VERSION_2, CONTENT_AES_XTS, NAMES_AES_CTS, 0, 0, b"", identifier))
else:
    removed = bytearray(struct.pack("<II32sI20s", BY_IDENTIFIER, 0, identifier, 0, b""))
    fcntl.ioctl(volume, REMOVE_KEY, removed)
    still_used = struct.unpack_from("<I", removed, 40)[0]
    sys.exit(f"files are still open: {still_used}" if still_used else 0)
